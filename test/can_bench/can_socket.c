/* Preloaded, it turns raw CAN sockets into Unix sockets, so that a program that speaks SocketCAN runs
 * on a kernel without CAN. The interface `can0` becomes the SEQPACKET socket $CAN_BENCH_DIR/can0; a
 * packet is one struct can_frame. An interface that has no socket there does not exist (ENODEV).
 * Filters and other options of CAN sockets are accepted and ignored.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define MAX_FD 4096
static char bus[MAX_FD][108]; /* path of each of our sockets, "?" before the interface is known */

static int ours(int fd) { return fd >= 0 && fd < MAX_FD && bus[fd][0]; }

int socket(int domain, int type, int protocol) {
    int (*next)(int, int, int) = dlsym(RTLD_NEXT, "socket");
    if (domain != AF_CAN) return next(domain, type, protocol);
    int fd = next(AF_UNIX, SOCK_SEQPACKET | (type & (SOCK_CLOEXEC | SOCK_NONBLOCK)), 0);
    if (fd >= MAX_FD) { errno = EMFILE; return -1; }
    if (fd >= 0) strcpy(bus[fd], "?");
    return fd;
}

int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    int (*next)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    if (!ours(fd) || request != SIOCGIFINDEX) return next(fd, request, argument);
    struct ifreq *interface = argument;
    const char *folder = getenv("CAN_BENCH_DIR");
    struct stat there;
    snprintf(bus[fd], sizeof bus[fd], "%s/%.15s", folder ? folder : ".", interface->ifr_name);
    if (stat(bus[fd], &there)) { errno = ENODEV; return -1; }
    interface->ifr_ifindex = 1;
    return 0;
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
    int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
    if (!ours(fd)) return next(fd, address, length);
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    memcpy(path.sun_path, bus[fd], sizeof bus[fd]);
    return connect(fd, (struct sockaddr *)&path, sizeof path);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length) {
    int (*next)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");
    return ours(fd) && level != SOL_SOCKET ? 0 : next(fd, level, name, value, length);
}

int close(int fd) {
    int (*next)(int) = dlsym(RTLD_NEXT, "close");
    if (ours(fd)) bus[fd][0] = 0;
    return next(fd);
}
