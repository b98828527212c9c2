# A shell in which `vla`, `ros2`, `colcon`, `python` and the built messages work:  source env.sh
# For bash and zsh, from any folder. A ROS 2 sourced before stays in use.

if [ -n "${BASH_VERSION:-}" ]; then
    _lean_vla_root="$(cd "$(dirname "${BASH_SOURCE[0]}")" >/dev/null && pwd)"
elif [ -n "${ZSH_VERSION:-}" ]; then
    eval '_lean_vla_root="${${(%):-%x}:A:h}"'
else
    _lean_vla_root="$PWD"
fi
if [ -x "$_lean_vla_root/.venv/bin/python" ]; then
    # -S: without site-packages this takes a few hundredths of a second.
    eval "$("$_lean_vla_root/.venv/bin/python" -S "$_lean_vla_root/tools/environment.py" "$_lean_vla_root")"
    hash -r 2>/dev/null
    unset _lean_vla_root
else
    echo "lean_vla: no environment in $_lean_vla_root/.venv yet; run \`make setup\` there first" >&2
    unset _lean_vla_root
    false
fi
