/*
 * The subscribers of the fan-out benchmark: N connections in one epoll loop.
 *
 *   client PORT PATH PROTOCOL      PROTOCOL is one of sse, websocket, socket.io
 *
 * Commands come as lines on stdin, answers leave as lines on stdout; end of file on stdin ends the program.
 *
 *   connect N                 open connections until N are subscribed      -> connected N
 *   expect FIRST COUNT STEP   from here on every connection must receive the messages FIRST .. FIRST + COUNT - 1, in
 *                             order and once; resets the counters          -> expecting
 *                             each time STEP more messages are everywhere  -> step K
 *                             and when all of them are                     -> done key=value ...
 *   report                    the same figures, now                        -> report key=value ...
 *   histogram                 latencies, LOWEST_NS:COUNT per used bucket   -> histogram ...
 *   anything wrong            -> error TEXT
 *
 * A message is any PAYLOAD bytes beginning with the marker (see load.py, which writes them):
 *
 *   "@fanout:" 20 digits CLOCK_MONOTONIC ns ":" 10 digits sequence number ":" padding "$"
 *
 * Chunk framing is not decoded: it stands between payloads, never inside one, in every server measured here; a payload
 * that is not whole has no "$" at its end and is counted as corrupt. A payload split over two reads is carried over.
 *
 * WebSocket frames are decoded (RFC 6455, unmasked, as servers send them): pings are answered, a close ends the
 * connection. Over them, socket.io is Engine.IO 4 carrying Socket.IO 5: "40" connects, "2" is answered with "3". What
 * is sent is masked with zeros, which the standard allows and which costs nothing.
 *
 * The program is meant to be cheap: it shares the machine with what it measures.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MARKER "@fanout:"
enum {
    markerSize = 8,
    timeDigits = 20,
    sequenceDigits = 10,
    payloadSize = 100,
    headLimit = 8192,      /* a response head longer than this is a fault of the server */
    readSize = 256 * 1024, /* one read; more stays in the socket until the next turn */
    frameLimit = 1024,     /* a WebSocket frame longer than this is a fault of the server, or of this program */
    connectWindow = 32,    /* connections under way at once: Twisted's backlog is 50 */
    perAddress = 20000,    /* connections from one 127.0.0.x: below the 28 k ephemeral ports */
    subBuckets = 64,       /* histogram cells per power of two: 1.6 % wide */
    bucketCount = 64 * subBuckets
};

enum state { connecting, awaitingHead, awaitingConnect, subscribed, closed };
enum protocol { sse, websocket, socketio };

struct connection {
    int fd;
    enum state state;
    uint64_t next;     /* the sequence number it must receive next */
    size_t carrySize;  /* bytes of a beginning marker or payload, kept from the last read */
    char *carry;       /* payloadSize or frameLimit bytes once the head is there; headLimit bytes before */
};

static struct sockaddr_in serverAddress;
static char request[2048];
static size_t requestSize;
static enum protocol protocol;
static int poller;

static struct connection **connections;
static size_t capacity, started, ready, inFlight, wanted;
static int connectAnnounced = 1;

static uint64_t firstSequence, endSequence, expected, progress, stepSize, nextStep, stepNumber;
static int running;
static uint64_t deliveries, missing, duplicates, stale, corrupt, bodyBytes, disconnected, errors;
static uint64_t firstDelivery, lastDelivery, latencyMax;
static uint64_t histogram[bucketCount];

/* Room for what was carried over stands right before the place reads go to. */
static char buffer[headLimit + readSize];

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    if (fflush(stdout)) exit(1); /* nobody is listening any more */
}

static void *need(void *memory) {
    if (!memory) {
        say("error out of memory");
        exit(1);
    }
    return memory;
}

/* ---- figures ---- */

static size_t bucketOf(uint64_t value) {
    if (value < subBuckets) return (size_t)value;
    int shift = 63 - __builtin_clzll(value) - 6; /* 6 = log2(subBuckets): keeps the 7 leading bits */
    return (size_t)(shift + 1) * subBuckets + (size_t)((value >> shift) - subBuckets);
}

static uint64_t lowestOf(size_t bucket) {
    if (bucket < subBuckets) return bucket;
    size_t shift = bucket / subBuckets - 1;
    return (uint64_t)(bucket % subBuckets + subBuckets) << shift;
}

/* The highest value of the bucket that holds the given share of the deliveries, never above the maximum. */
static uint64_t percentile(double share) {
    uint64_t rank = (uint64_t)(share * (double)deliveries), seen = 0;
    if (!deliveries) return 0;
    if (rank >= deliveries) rank = deliveries - 1;
    for (size_t i = 0; i + 1 < bucketCount; i++) {
        seen += histogram[i];
        if (seen > rank) {
            uint64_t highest = lowestOf(i + 1) - 1;
            return highest < latencyMax ? highest : latencyMax;
        }
    }
    return latencyMax;
}

static void figures(const char *title) {
    uint64_t outstanding = 0;
    for (size_t i = 0; i < started; i++) {
        if (connections[i]->state == subscribed && connections[i]->next < endSequence)
            outstanding += endSequence - connections[i]->next;
    }
    say("%s subscribers=%zu expected=%" PRIu64 " deliveries=%" PRIu64 " missing=%" PRIu64 " duplicates=%" PRIu64
        " stale=%" PRIu64 " corrupt=%" PRIu64 " bytes=%" PRIu64 " disconnected=%" PRIu64 " errors=%" PRIu64
        " p50=%" PRIu64 " p99=%" PRIu64 " p999=%" PRIu64 " max=%" PRIu64 " first=%" PRIu64 " last=%" PRIu64,
        title, ready, expected, deliveries, missing + outstanding, duplicates, stale, corrupt, bodyBytes, disconnected,
        errors, percentile(0.5), percentile(0.99), percentile(0.999), latencyMax, firstDelivery, lastDelivery);
}

static void announceProgress(void) {
    while (running && stepSize && progress >= nextStep && nextStep <= expected) {
        nextStep += stepSize;
        say("step %" PRIu64, ++stepNumber);
    }
    if (running && progress >= expected) {
        running = 0;
        figures("done");
    }
}

/* ---- connections ---- */

static void drop(struct connection *c, int isError) {
    if (c->state == subscribed) {
        disconnected++;
        if (running && c->next < endSequence) {
            missing += endSequence - c->next;
            progress += endSequence - c->next;
        }
    } else {
        inFlight--;
    }
    errors += (uint64_t)isError;
    close(c->fd);
    free(c->carry);
    c->carry = NULL;
    c->state = closed;
}

static void fail(struct connection *c, const char *what) {
    say("error connection %zu: %s: %s", ready, what, errno ? strerror(errno) : "closed by the server");
    drop(c, 1);
    wanted = 0; /* one refusal ends the attempt: the benchmark needs all of them */
    connectAnnounced = 1;
}

static void watch(struct connection *c, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poller, operation, c->fd, &event)) {
        say("error epoll_ctl: %s", strerror(errno));
        exit(1);
    }
}

static void startConnection(void) {
    struct connection *c = need(calloc(1, sizeof *c));
    int on = 1;
    struct linger reset = {.l_onoff = 1, .l_linger = 0}; /* no TIME_WAIT left behind for the next run */
    c->carry = need(malloc(headLimit));
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    connections[started] = c;
    inFlight++;
    if (c->fd < 0) {
        started++;
        fail(c, "socket");
        return;
    }
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (started >= perAddress) {
        struct sockaddr_in source = {.sin_family = AF_INET};
        source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(started / perAddress));
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(c->fd, (struct sockaddr *)&source, sizeof source)) {
            started++;
            fail(c, "bind");
            return;
        }
    }
    started++;
    if (connect(c->fd, (struct sockaddr *)&serverAddress, sizeof serverAddress) && errno != EINPROGRESS) {
        fail(c, "connect");
        return;
    }
    watch(c, EPOLLOUT, EPOLL_CTL_ADD);
}

static void pumpConnections(void) {
    while (started < wanted && inFlight < connectWindow) startConnection();
    if (!connectAnnounced && ready >= wanted) {
        connectAnnounced = 1;
        say("connected %zu", ready);
    }
}

static void sendRequest(struct connection *c) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    errno = error;
    if (error || send(c->fd, request, requestSize, MSG_NOSIGNAL) != (ssize_t)requestSize) {
        fail(c, error ? "connect" : "send");
        return;
    }
    c->state = awaitingHead;
    watch(c, EPOLLIN, EPOLL_CTL_MOD);
}

/* ---- messages ---- */

static uint64_t number(const char *digits, int count) {
    uint64_t value = 0;
    while (count--) value = value * 10 + (uint64_t)(*digits++ - '0');
    return value;
}

static void deliver(struct connection *c, const char *payload, uint64_t time) {
    uint64_t published = number(payload + markerSize, timeDigits);
    uint64_t sequence = number(payload + markerSize + timeDigits + 1, sequenceDigits);
    if (payload[payloadSize - 1] != '$') {
        corrupt++;
        return;
    }
    if (!running || sequence < firstSequence || sequence >= endSequence) {
        stale++;
        return;
    }
    if (sequence < c->next) {
        duplicates++;
        return;
    }
    missing += sequence - c->next;
    progress += sequence - c->next + 1;
    c->next = sequence + 1;
    uint64_t latency = time > published ? time - published : 0;
    histogram[bucketOf(latency)]++;
    if (latency > latencyMax) latencyMax = latency;
    if (!deliveries++) firstDelivery = time;
    lastDelivery = time;
}

static void scan(struct connection *c, const char *start, const char *end, uint64_t time) {
    const char *hit = NULL;
    while ((hit = memmem(start, (size_t)(end - start), MARKER, markerSize)) && end - hit >= payloadSize) {
        deliver(c, hit, time);
        start = hit + payloadSize;
    }
    if (!hit) hit = end - start < markerSize ? start : end - (markerSize - 1);
    c->carrySize = (size_t)(end - hit);
    memcpy(c->carry, hit, c->carrySize);
}

/* ---- WebSocket ---- */

static void becomeReady(struct connection *c) {
    c->state = subscribed;
    c->next = endSequence; /* a subscriber that came during a run owes nothing of it */
    inFlight--;
    ready++;
}

/* One masked frame of at most 125 bytes; 0 when it did not fit into the socket. */
static int sendFrame(struct connection *c, int opcode, const char *payload, size_t size) {
    char frame[6 + 125] = {(char)(0x80 | opcode), (char)(0x80 | size)};
    if (size > 125) return 0;
    memcpy(frame + 6, payload, size);
    return send(c->fd, frame, 6 + size, MSG_NOSIGNAL) == (ssize_t)(6 + size);
}

/* Returns 0 when the connection is to end. */
static int receiveFrame(struct connection *c, int opcode, const char *payload, size_t size, uint64_t time) {
    if (opcode == 8) return 0;
    if (opcode == 9) return sendFrame(c, 10, payload, size);
    if (opcode > 2) return 1;
    if (protocol == socketio) {
        if (size == 1 && *payload == '2') return sendFrame(c, 1, "3", 1);
        if (c->state == awaitingConnect) {
            if (size >= 2 && !memcmp(payload, "40", 2)) becomeReady(c);
            return 1;
        }
    }
    const char *hit = memmem(payload, size, MARKER, markerSize);
    if (!hit) return 1;
    if (payload + size - hit < payloadSize) corrupt++;
    else deliver(c, hit, time);
    return 1;
}

static void giveUp(struct connection *c, const char *what) {
    if (c->state == subscribed) drop(c, 1);
    else fail(c, what);
}

static void readFrames(struct connection *c, const char *start, const char *end, uint64_t time) {
    const unsigned char *head;
    while (end - start >= 2) {
        head = (const unsigned char *)start;
        size_t size = head[1] & 0x7f, headSize = 2;
        if (size == 126) {
            if (end - start < 4) break;
            size = (size_t)head[2] << 8 | head[3];
            headSize = 4;
        }
        if (head[1] >= 127 || size > frameLimit - headSize) { /* masked, or too long */
            errno = EPROTO;
            giveUp(c, "frame");
            return;
        }
        if ((size_t)(end - start) < headSize + size) break;
        if (!receiveFrame(c, head[0] & 0x0f, start + headSize, size, time)) {
            errno = 0;
            giveUp(c, "frame");
            return;
        }
        start += headSize + size;
    }
    c->carrySize = (size_t)(end - start);
    memcpy(c->carry, start, c->carrySize);
}

/* ---- reading ---- */

static void readBody(struct connection *c, const char *start, const char *end, uint64_t time) {
    if (protocol == sse) scan(c, start, end, time);
    else readFrames(c, start, end, time);
}

static void readHead(struct connection *c, char *start, char *end) {
    char *stop = memmem(start, (size_t)(end - start), "\r\n\r\n", 4);
    if (!stop) {
        if (end - start >= headLimit) {
            errno = EMSGSIZE;
            fail(c, "response head");
            return;
        }
        c->carrySize = (size_t)(end - start);
        memcpy(c->carry, start, c->carrySize);
        return;
    }
    const char *status = protocol == sse ? " 200" : " 101";
    if (end - start < 12 || memcmp(start, "HTTP/1.", 7) || memcmp(start + 8, status, 4)) {
        errno = EPROTO;
        say("error answer: %.*s", (int)strcspn(start, "\r"), start);
        fail(c, "status");
        return;
    }
    c->carry = need(realloc(c->carry, protocol == sse ? payloadSize : frameLimit));
    c->carrySize = 0;
    if (protocol != socketio) {
        becomeReady(c);
    } else if (sendFrame(c, 1, "40", 2)) {
        c->state = awaitingConnect;
    } else {
        fail(c, "connect packet");
        return;
    }
    bodyBytes += (uint64_t)(end - stop - 4);
    readBody(c, stop + 4, end, now());
}

static void readable(struct connection *c) {
    char *place = buffer + headLimit;
    ssize_t size = recv(c->fd, place, readSize, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) {
        if (size == 0) errno = 0;
        if (c->state == subscribed) drop(c, size < 0);
        else fail(c, c->state == awaitingHead ? "response head" : "connect packet");
        return;
    }
    char *start = place - c->carrySize;
    memcpy(start, c->carry, c->carrySize);
    if (c->state == awaitingHead) {
        readHead(c, start, place + size);
    } else {
        bodyBytes += (uint64_t)size;
        readBody(c, start, place + size, now());
    }
}

/* ---- control ---- */

static void expectMessages(uint64_t first, uint64_t count, uint64_t step) {
    firstSequence = first;
    endSequence = first + count;
    expected = count * ready;
    stepSize = step * ready;
    nextStep = stepSize;
    stepNumber = progress = deliveries = missing = duplicates = stale = corrupt = bodyBytes = 0;
    firstDelivery = lastDelivery = latencyMax = 0;
    memset(histogram, 0, sizeof histogram);
    running = 1;
    for (size_t i = 0; i < started; i++) connections[i]->next = first;
    missing = progress = disconnected * count; /* whoever has left will miss them all */
    say("expecting");
}

static void printHistogram(void) {
    printf("histogram");
    for (size_t i = 0; i < bucketCount; i++) {
        if (histogram[i]) printf(" %" PRIu64 ":%" PRIu64, lowestOf(i), histogram[i]);
    }
    say("");
}

static void command(const char *line) {
    size_t count;
    uint64_t first, number, step;
    if (sscanf(line, "connect %zu", &count) == 1) {
        if (count > capacity) {
            connections = need(realloc(connections, count * sizeof *connections));
            capacity = count;
        }
        wanted = count;
        connectAnnounced = 0;
    } else if (sscanf(line, "expect %" SCNu64 " %" SCNu64 " %" SCNu64, &first, &number, &step) == 3) {
        expectMessages(first, number, step);
    } else if (!strcmp(line, "report")) {
        figures("report");
    } else if (!strcmp(line, "histogram")) {
        printHistogram();
    } else {
        say("error unknown command: %s", line);
    }
}

static void readCommands(void) {
    static char line[256];
    static size_t size;
    ssize_t got = read(0, line + size, sizeof line - 1 - size);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) exit(0);
    size += (size_t)got;
    line[size] = 0;
    for (char *end; (end = strchr(line, '\n'));) {
        *end = 0;
        command(line);
        size -= (size_t)(end + 1 - line);
        memmove(line, end + 1, size + 1);
    }
    if (size == sizeof line - 1) {
        say("error command too long");
        exit(1);
    }
}

int main(int argc, char **argv) {
    struct epoll_event events[512], control = {.events = EPOLLIN, .data.ptr = NULL};
    static const char *const protocols[] = {"sse", "websocket", "socket.io"};
    while (argc == 4 && protocol <= socketio && strcmp(argv[3], protocols[protocol])) protocol++;
    if (argc != 4 || protocol > socketio) {
        fprintf(stderr, "usage: client PORT PATH sse|websocket|socket.io\n");
        return 2;
    }
    serverAddress.sin_family = AF_INET;
    serverAddress.sin_port = htons((uint16_t)atoi(argv[1]));
    serverAddress.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const char *headers = protocol == sse ? "Accept: text/event-stream\r\n"
                                          : "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                                            "Sec-WebSocket-Version: 13\r\n"
                                            "Sec-WebSocket-Key: ZmFub3V0IGJlbmNobWFyaw==\r\n";
    int size = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n%s\r\n", argv[2], argv[1],
                        headers);
    if (size < 0 || (size_t)size >= sizeof request) {
        fprintf(stderr, "client: the path is too long\n");
        return 2;
    }
    requestSize = (size_t)size;
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0 || fcntl(0, F_SETFL, O_NONBLOCK) || epoll_ctl(poller, EPOLL_CTL_ADD, 0, &control)) {
        perror("client");
        return 1;
    }
    for (;;) {
        int count = epoll_wait(poller, events, 512, -1);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c) readCommands();
            else if (c->state == connecting) sendRequest(c);
            else if (c->state != closed) readable(c);
        }
        pumpConnections();
        announceProgress();
    }
}
