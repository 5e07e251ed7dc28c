/*
 * The floor of the fan-out benchmark: what the kernel alone costs. No framework, no language runtime, no bookkeeping:
 * a loop of send().
 *
 *   floor PORT CONTROL
 *
 * Listens on 127.0.0.1:PORT and answers each request there, whatever it asks for, with the head of a Server-Sent Events
 * response; from then on the connection is a subscriber. Listens on the unix socket CONTROL, where every line is a
 * payload: it is framed once, as a chunk holding one event, and sent to every subscriber with one send() each. Twenty
 * lines that arrive together are twenty rounds of send(): the floor does not coalesce.
 *
 * The sends block: the benchmark's client always reads. One that does not for ten seconds is dropped. End of file on
 * stdin ends the program.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { requestLimit = 8192, payloadLimit = 4096, controlSize = 65536, backlog = 1024 };

static const char responseHead[] = "HTTP/1.1 200 OK\r\n"
                                   "Content-Type: text/event-stream\r\n"
                                   "Cache-Control: no-cache\r\n"
                                   "Transfer-Encoding: chunked\r\n\r\n";

/* What an epoll event is about: its role, and the connection. */
enum role { input, listener, controlListener, controlPeer, peer, subscriber };

struct source {
    enum role role;
    int fd;
};

static int poller;
static struct source **subscribers;
static size_t subscriberCount, capacity;
static char control[controlSize];
static size_t controlFill;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static struct source *watch(enum role role, int fd) {
    struct source *s = malloc(sizeof *s);
    if (!s) die("malloc");
    s->role = role;
    s->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    return s;
}

static void forget(struct source *s) {
    for (size_t i = 0; i < subscriberCount; i++) {
        if (subscribers[i] == s) {
            subscribers[i] = subscribers[--subscriberCount];
            break;
        }
    }
    close(s->fd);
    free(s);
}

static void subscribe(struct source *s) {
    if (subscriberCount == capacity) {
        capacity = capacity ? capacity * 2 : 1024;
        subscribers = realloc(subscribers, capacity * sizeof *subscribers);
        if (!subscribers) die("realloc");
    }
    subscribers[subscriberCount++] = s;
    s->role = subscriber;
}

static void acceptPeer(struct source *s) {
    int on = 1, fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
    struct timeval patience = {.tv_sec = 10};
    if (fd < 0) return;
    if (s->role == listener) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    }
    watch(s->role == listener ? peer : controlPeer, fd);
}

/* A request is one segment here: the client sends it with one send() and it is far below the loopback's MTU. */
static void answer(struct source *s) {
    char request[requestLimit];
    ssize_t size = recv(s->fd, request, sizeof request, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size < 4 || memcmp(request + size - 4, "\r\n\r\n", 4) ||
        send(s->fd, responseHead, sizeof responseHead - 1, MSG_NOSIGNAL) < 0) {
        forget(s);
        return;
    }
    subscribe(s);
}

static void publish(const char *payload, size_t size) {
    char message[payloadLimit + 64];
    int total = snprintf(message, sizeof message, "%zx\r\ndata: %.*s\n\n\r\n", size + 8, (int)size, payload);
    for (size_t i = 0; i < subscriberCount;) {
        if (send(subscribers[i]->fd, message, (size_t)total, MSG_NOSIGNAL) == total) i++;
        else forget(subscribers[i]);
    }
}

static void readControl(struct source *s) {
    ssize_t size = recv(s->fd, control + controlFill, sizeof control - controlFill, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) {
        controlFill = 0;
        forget(s);
        return;
    }
    controlFill += (size_t)size;
    char *start = control, *stop = control + controlFill, *end;
    while ((end = memchr(start, '\n', (size_t)(stop - start)))) {
        if (end - start <= payloadLimit) publish(start, (size_t)(end - start));
        start = end + 1;
    }
    controlFill = (size_t)(stop - start);
    if (controlFill == sizeof control) die("floor: a line without an end");
    memmove(control, start, controlFill);
}

static int listenTcp(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, backlog)) die("listen");
    return fd;
}

static int listenUnix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        die(path);
    }
    strcpy(address.sun_path, path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 8)) die(path);
    return fd;
}

static void readInput(void) {
    char ignored[256];
    if (read(0, ignored, sizeof ignored) <= 0) exit(0);
}

int main(int argc, char **argv) {
    struct epoll_event event;
    if (argc != 3) {
        fprintf(stderr, "usage: floor PORT CONTROL\n");
        return 2;
    }
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) die("epoll_create1");
    watch(input, 0);
    watch(controlListener, listenUnix(argv[2]));
    watch(listener, listenTcp(atoi(argv[1])));
    for (;;) {
        /* One event at a time: handling one may free another's source. */
        if (epoll_wait(poller, &event, 1, -1) != 1) continue;
        struct source *s = event.data.ptr;
        switch (s->role) {
        case input: readInput(); break;
        case listener:
        case controlListener: acceptPeer(s); break;
        case controlPeer: readControl(s); break;
        case peer: answer(s); break;
        case subscriber: forget(s); break; /* it has left, or says what nobody wants to know */
        }
    }
}
