/*
 * The cameras of the ingest benchmark, and the viewers of some of them: one epoll loop, one clock.
 *
 *   load PORT RECORDING DESCRIPTION SUFFIX WRITES     WRITES is packet or frame: what one send() carries
 *
 * RECORDING: RTP packets, each after its length in two bytes (see recording.py). DESCRIPTION: the SDP of the ANNOUNCE.
 *
 * Commands come as lines on stdin, answers leave as lines on stdout; end of file on stdin ends the program.
 *
 *   watch N           GET /watch1 .. /watchN over HTTP/1.0, and read        -> watching N
 *   publish N         ANNOUNCE, SETUP, RECORD of /cam1 .. /camN             -> publishing N
 *   run WARM SECONDS  send at the recording's pace, WARM seconds before     -> started
 *                     the window of the figures, and in it                  -> measured
 *                     then stop, and wait for what is under way             -> done key=value ...
 *   anything wrong    -> error TEXT
 *
 * Publishers begin one after the other within the first STAGGER seconds, so that neither their frames nor their
 * keyframes come together. A packet that is due is written at once; what the socket does not take waits in here, and
 * the pace does not slow down for it. After its last frame each publisher asks OPTIONS: the answer comes when the
 * server has worked off all that was before.
 *
 * Viewers get messages that end with SUFFIX. A frame in the envelope of docs/wire-format.md is known by its time: the
 * n-th that was sent is n frames after the first. Its delay counts from right before the send() of its last byte.
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
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000u
#define STAGGER (2ull * SECOND)   /* the recording's keyframe interval */
#define PATIENCE (20ull * SECOND) /* for what is under way at the end, beginning with the last sign of progress */

enum {
    clockRate = 90000,
    headSize = 16,        /* $, channel, length; the RTP header */
    perSend = 256,        /* packets in one send() at most: twice as many pieces of memory, and 1,024 are allowed */
    ringSize = 4096,      /* frames under way of one publisher that can be told apart: two minutes */
    answerLimit = 16384,  /* what a server may say at once */
    messageLimit = 1 << 22,
    sendBuffer = 1 << 18, /* half a second of media: a server that does not read for longer shows as lag */
    quarters = 4
};

enum kind { control, timer, publisher, watcher };

struct peer {
    enum kind kind;
    int fd;
    int isClosed;
};

struct publisherState {
    struct peer peer;
    size_t number;
    size_t packet;         /* of the recording, that is to be sent next */
    size_t offset;         /* bytes of it that were sent */
    size_t frame;          /* of the recording, that is to be sent next or being sent */
    uint64_t rounds;       /* of the recording, that are over */
    uint64_t frames;       /* that were sent as a whole */
    uint64_t start, due, freeSince;
    int isBlocked;         /* waits until the socket takes more */
    int isAsking, isDone;
    char question[512];
    size_t questionSize, asked;
    char answer[answerLimit];
    size_t answerSize;
    uint64_t writtenAt[ringSize];
};

struct watcherState {
    struct peer peer;
    struct publisherState *source;
    char *data;
    size_t size, scanned, capacity;
    int isStarted;
    int64_t first;         /* time of its first frame */
    uint64_t frames;       /* that came, or are missing before one that came */
};

struct samples {
    uint64_t *values;
    size_t count, capacity;
};

static struct sockaddr_in serverAddress;
static const char *port, *suffix;
static size_t suffixSize;
static int atOnce, poller, timerFile;

static char *recording, *description;
static size_t packetCount, frameCount;
static struct { char *data; uint16_t size; } *packets;
static struct { size_t firstPacket; uint32_t ticks; } *frames;
static uint32_t step, roundTicks;

static struct publisherState **publishers;
static struct watcherState **watchers;
static size_t publisherCount, watcherCount;

static enum { idle, warming, measuring, draining } phase;
static uint64_t windowStart, windowEnd, lastProgress;
static struct samples delays[quarters];
static uint64_t sentPackets, sentBytes, missing, strange, disconnected, ownLate, mostLag, mostDrain;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    if (fflush(stdout)) exit(1); /* nobody is listening any more */
}

static void giveUp(const char *what, const char *why) {
    say("error %s: %s", what, why);
    exit(1);
}

static void *need(void *memory) {
    if (!memory) giveUp("memory", "there is none");
    return memory;
}

static uint64_t larger(uint64_t one, uint64_t other) { return one > other ? one : other; }

/* ---- the recording ---- */

static char *readFile(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    struct stat about;
    if (!file || fstat(fileno(file), &about)) giveUp(path, strerror(errno));
    *size = (size_t)about.st_size;
    char *content = need(malloc(*size + 1));
    if (fread(content, 1, *size, file) != *size) giveUp(path, "cannot be read");
    content[*size] = 0;
    fclose(file);
    return content;
}

static uint32_t number32(const char *bytes) {
    uint32_t value;
    memcpy(&value, bytes, 4);
    return ntohl(value);
}

static uint16_t number16(const char *bytes) {
    uint16_t value;
    memcpy(&value, bytes, 2);
    return ntohs(value);
}

static void readRecording(const char *path) {
    size_t size, capacity = 0;
    recording = readFile(path, &size);
    for (size_t position = 0; position + 2 <= size;) {
        uint16_t length = number16(recording + position);
        position += 2;
        if (length < 12 || position + length > size) giveUp(path, "a packet is damaged");
        if (packetCount == capacity) {
            capacity = capacity ? 2 * capacity : 4096;
            packets = need(realloc(packets, capacity * sizeof *packets));
            frames = need(realloc(frames, capacity * sizeof *frames));
        }
        uint32_t ticks = number32(recording + position + 4) - (packetCount ? number32(packets[0].data + 4) : 0);
        if (!packetCount) ticks = 0;
        if (!packetCount || ticks != frames[frameCount - 1].ticks) {
            frames[frameCount].firstPacket = packetCount;
            frames[frameCount++].ticks = ticks;
        }
        packets[packetCount].data = recording + position;
        packets[packetCount++].size = length;
        position += length;
    }
    if (frameCount < 2) giveUp(path, "too short");
    step = frames[1].ticks;
    roundTicks = frames[frameCount - 1].ticks + step;
}

/* ---- connections ---- */

static void watch(struct peer *peer, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.ptr = peer};
    if (epoll_ctl(poller, operation, peer->fd, &event)) giveUp("epoll_ctl", strerror(errno));
}

static int connectToServer(void) {
    int on = 1, size = sendBuffer, file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 20};
    if (file < 0) giveUp("socket", strerror(errno));
    setsockopt(file, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(file, (struct sockaddr *)&serverAddress, sizeof serverAddress)) giveUp("connect", strerror(errno));
    return file;
}

static void request(int file, const char *text, size_t size) {
    if (send(file, text, size, MSG_NOSIGNAL) != (ssize_t)size) giveUp("request", strerror(errno));
}

/* Reads the head of an answer, which must be a good one, and no more. Blocks. */
static void readHead(int file, char *head, size_t limit) {
    size_t size = 0;
    while (size < 4 || memcmp(head + size - 4, "\r\n\r\n", 4)) {
        if (size + 1 >= limit) giveUp("answer", "too long");
        ssize_t got = recv(file, head + size, 1, 0);
        if (got <= 0) giveUp("answer", got ? strerror(errno) : "closed by the server");
        head[++size] = 0;
    }
    const char *status = strchr(head, ' ');
    if (!status || strncmp(status, " 200", 4)) {
        head[strcspn(head, "\r")] = 0;
        giveUp("answer", head);
    }
}

static void lose(struct peer *peer) {
    disconnected++;
    peer->isClosed = 1;
    close(peer->fd);
}

/* Sends a request whose answer is wanted at once. Gives the session's id. */
static void converse(struct publisherState *p, const char *method, const char *tail, const char *headers,
                     char *session, const char *body) {
    static unsigned sequence;
    char text[8192], head[answerLimit];
    int size = snprintf(text, sizeof text,
                        "%s rtsp://127.0.0.1:%s/cam%zu%s RTSP/1.0\r\nCSeq: %u\r\nUser-Agent: benchmark\r\n%s%s%s%s\r\n%s",
                        method, port, p->number, tail, ++sequence, *session ? "Session: " : "", session,
                        *session ? "\r\n" : "", headers, body);
    if (size < 0 || (size_t)size >= sizeof text) giveUp("request", "too long");
    request(p->peer.fd, text, (size_t)size);
    readHead(p->peer.fd, head, sizeof head);
    const char *named = strcasestr(head, "\r\nSession:");
    if (named) {
        named += strlen("\r\nSession:");
        named += strspn(named, " ");
        size_t length = strcspn(named, ";\r ");
        if (length >= 128) giveUp("session", "too long");
        memcpy(session, named, length);
        session[length] = 0;
    }
}

static void startPublisher(size_t number) {
    struct publisherState *p = need(calloc(1, sizeof *p));
    char headers[128], session[128] = "";
    p->peer.kind = publisher;
    p->peer.fd = connectToServer();
    p->number = number;
    snprintf(headers, sizeof headers, "Content-Type: application/sdp\r\nContent-Length: %zu\r\n", strlen(description));
    converse(p, "ANNOUNCE", "", headers, session, description);
    converse(p, "SETUP", "/streamid=0", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record\r\n", session, "");
    converse(p, "RECORD", "", "Range: npt=0.000-\r\n", session, "");
    int size = snprintf(p->question, sizeof p->question,
                        "OPTIONS rtsp://127.0.0.1:%s/cam%zu RTSP/1.0\r\nCSeq: 1000000\r\nSession: %s\r\n\r\n", port,
                        number, session);
    p->questionSize = (size_t)size;
    fcntl(p->peer.fd, F_SETFL, O_NONBLOCK);
    watch(&p->peer, EPOLLIN, EPOLL_CTL_ADD);
    publishers = need(realloc(publishers, (publisherCount + 1) * sizeof *publishers));
    publishers[publisherCount++] = p;
}

static void startWatcher(size_t number) {
    struct watcherState *w = need(calloc(1, sizeof *w));
    char text[256], head[answerLimit];
    w->peer.kind = watcher;
    w->peer.fd = connectToServer();
    int size = snprintf(text, sizeof text, "GET /watch%zu HTTP/1.0\r\nHost: 127.0.0.1:%s\r\n\r\n", number, port);
    request(w->peer.fd, text, (size_t)size);
    readHead(w->peer.fd, head, sizeof head);
    fcntl(w->peer.fd, F_SETFL, O_NONBLOCK);
    watch(&w->peer, EPOLLIN, EPOLL_CTL_ADD);
    watchers = need(realloc(watchers, (watcherCount + 1) * sizeof *watchers));
    watchers[watcherCount++] = w;
}

/* ---- sending ---- */

static uint64_t dueOf(const struct publisherState *p) {
    uint64_t ticks = p->rounds * roundTicks + frames[p->frame].ticks;
    return p->start + ticks * (SECOND / 10000) / (clockRate / 10000);
}

static void writeHead(const struct publisherState *p, size_t packet, char *head) {
    uint16_t size = htons(packets[packet].size);
    uint16_t sequence = htons((uint16_t)(p->rounds * packetCount + packet));
    uint32_t time = htonl((uint32_t)(p->number * 1234567 + p->rounds * roundTicks) +
                          number32(packets[packet].data + 4) - number32(packets[0].data + 4));
    uint32_t source = htonl((uint32_t)(0x10000000 + p->number));
    memcpy(head, "$\0", 2);
    memcpy(head + 2, &size, 2);
    memcpy(head + 4, packets[packet].data, 2);
    memcpy(head + 6, &sequence, 2);
    memcpy(head + 8, &time, 4);
    memcpy(head + 12, &source, 4);
}

static void block(struct publisherState *p) {
    p->isBlocked = 1;
    watch(&p->peer, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

/* What one send() is to carry of the frame. Returns its size in bytes. */
static size_t gather(const struct publisherState *p, size_t end, struct iovec *pieces, size_t *count) {
    static char heads[perSend][headSize];
    size_t most = atOnce ? perSend : 1, skip = p->offset, total = 0;
    *count = 0;
    for (size_t i = 0; i < most && p->packet + i < end; i++) {
        struct iovec both[2] = {{heads[i], headSize},
                                {packets[p->packet + i].data + 12, (size_t)packets[p->packet + i].size - 12}};
        writeHead(p, p->packet + i, heads[i]);
        for (int part = 0; part < 2; part++) {
            size_t cut = skip < both[part].iov_len ? skip : both[part].iov_len;
            skip -= cut;
            if (cut == both[part].iov_len) continue;
            pieces[*count].iov_base = (char *)both[part].iov_base + cut;
            pieces[(*count)++].iov_len = both[part].iov_len - cut;
            total += both[part].iov_len - cut;
        }
    }
    return total;
}

/* Returns whether the frame is out; else the publisher is blocked, or gone. */
static int sendFrame(struct publisherState *p) {
    size_t end = p->frame + 1 < frameCount ? frames[p->frame + 1].firstPacket : packetCount;
    while (p->packet < end) {
        struct iovec pieces[2 * perSend];
        size_t count, size = gather(p, end, pieces, &count);
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
        uint64_t time = now();
        ssize_t sent = sendmsg(p->peer.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN) {
            lose(&p->peer);
            return 0;
        }
        if (sent < 0) sent = 0;
        p->writtenAt[p->frames % ringSize] = time;
        sentBytes += (uint64_t)sent;
        for (size_t left = p->offset + (size_t)sent;; p->packet++, sentPackets++) {
            p->offset = left;
            if (p->packet == end || left < (size_t)packets[p->packet].size + 4) break;
            left -= (size_t)packets[p->packet].size + 4;
        }
        if ((size_t)sent < size) {
            block(p);
            return 0;
        }
    }
    if (p->due >= windowStart) mostLag = larger(mostLag, now() - p->due);
    p->frames++;
    if (++p->frame == frameCount) p->frame = p->packet = 0, p->rounds++;
    p->due = dueOf(p);
    return 1;
}

static void ask(struct publisherState *p) {
    p->isAsking = 1;
    ssize_t sent = send(p->peer.fd, p->question + p->asked, p->questionSize - p->asked, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        lose(&p->peer);
        return;
    }
    if (sent > 0) p->asked += (size_t)sent;
    if (p->asked < p->questionSize) block(p);
}

/* Everything of this publisher that is due. */
static void advance(struct publisherState *p) {
    while (!p->peer.isClosed && !p->isBlocked && !p->isAsking) {
        uint64_t time = now();
        if (p->due >= windowEnd && !p->offset && p->packet == frames[p->frame].firstPacket) {
            if (time >= windowEnd) ask(p);
            return;
        }
        if (p->due > time) return;
        if (p->due >= windowStart) ownLate = larger(ownLate, time - larger(p->due, p->freeSince));
        if (!sendFrame(p)) return;
    }
}

static void writable(struct publisherState *p) {
    p->isBlocked = 0;
    p->freeSince = now();
    watch(&p->peer, EPOLLIN, EPOLL_CTL_MOD);
    if (p->isAsking) ask(p);
    else if (sendFrame(p)) advance(p);
}

/* ---- receiving ---- */

/* Receiver reports, and in the end one answer. */
static void readAnswers(struct publisherState *p) {
    ssize_t got = recv(p->peer.fd, p->answer + p->answerSize, answerLimit - p->answerSize, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        lose(&p->peer);
        return;
    }
    p->answerSize += (size_t)got;
    size_t position = 0;
    while (position < p->answerSize) {
        char *start = p->answer + position;
        size_t left = p->answerSize - position, size;
        if (*start == '$') {
            if (left < 4 || left < (size = 4u + number16(start + 2))) break;
        } else {
            char *end = memmem(start, left, "\r\n\r\n", 4);
            if (!end) break;
            size = (size_t)(end + 4 - start);
            if (left < 12 || memcmp(start, "RTSP/1.0 200", 12)) strange++;
            else if (p->isAsking && !p->isDone) {
                p->isDone = 1;
                lastProgress = now();
                mostDrain = larger(mostDrain, lastProgress - windowEnd);
            }
        }
        position += size;
    }
    p->answerSize -= position;
    memmove(p->answer, p->answer + position, p->answerSize);
    if (p->answerSize == answerLimit) lose(&p->peer);
}

static void addSample(uint64_t sent, uint64_t received) {
    if (sent < windowStart || sent >= windowEnd) return;
    struct samples *s = &delays[(sent - windowStart) * quarters / (windowEnd - windowStart)];
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 1024;
        s->values = need(realloc(s->values, s->capacity * sizeof *s->values));
    }
    s->values[s->count++] = received - sent;
}

static void takeMessage(struct watcherState *w, const char *message, size_t size, uint64_t time) {
    if (size < 28 || memcmp(message, "\xffRT\x01", 4) || message[4] != 2) return; /* tracks, or the end */
    int64_t pts = (int64_t)((uint64_t)number32(message + 12) << 32 | number32(message + 16));
    if (!w->isStarted) {
        w->isStarted = 1;
        w->first = pts;
    }
    int64_t number = (pts - w->first) / (int64_t)step;
    if ((pts - w->first) % (int64_t)step || number < (int64_t)w->frames || number >= (int64_t)w->source->frames) {
        strange++;
        return;
    }
    missing += (uint64_t)number - w->frames;
    w->frames = (uint64_t)number + 1;
    lastProgress = time;
    addSample(w->source->writtenAt[number % ringSize], time);
}

static void readMessages(struct watcherState *w) {
    if (w->capacity - w->size < 1 << 18) {
        w->capacity += 1 << 18;
        if (w->capacity > messageLimit) giveUp("message", "too long");
        w->data = need(realloc(w->data, w->capacity));
    }
    ssize_t got = recv(w->peer.fd, w->data + w->size, w->capacity - w->size, 0);
    uint64_t time = now();
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        lose(&w->peer);
        return;
    }
    w->size += (size_t)got;
    size_t start = 0;
    for (char *hit; (hit = memmem(w->data + w->scanned, w->size - w->scanned, suffix, suffixSize));) {
        takeMessage(w, w->data + start, (size_t)(hit - w->data) - start, time);
        start = w->scanned = (size_t)(hit - w->data) + suffixSize;
    }
    memmove(w->data, w->data + start, w->size - start);
    w->size -= start;
    w->scanned = w->size < suffixSize ? 0 : w->size - suffixSize + 1;
}

/* ---- figures ---- */

static int compare(const void *one, const void *other) {
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return a < b ? -1 : a > b;
}

static uint64_t percentile(struct samples *s, double share) {
    if (!s->count) return 0;
    qsort(s->values, s->count, sizeof *s->values, compare);
    size_t rank = (size_t)(share * (double)s->count);
    return s->values[rank < s->count ? rank : s->count - 1];
}

static void finish(void) {
    uint64_t sent = 0, watched = 0, received = 0, unanswered = 0;
    struct samples all = {0};
    for (size_t i = 0; i < publisherCount; i++) {
        sent += publishers[i]->frames;
        unanswered += (uint64_t)!publishers[i]->isDone;
    }
    for (size_t i = 0; i < watcherCount; i++) {
        watched += watchers[i]->source->frames;
        received += watchers[i]->frames;
    }
    for (int i = 0; i < quarters; i++) {
        all.values = need(realloc(all.values, (all.count + delays[i].count + 1) * sizeof *all.values));
        if (delays[i].count) memcpy(all.values + all.count, delays[i].values, delays[i].count * sizeof *all.values);
        all.count += delays[i].count;
    }
    say("done frames=%" PRIu64 " packets=%" PRIu64 " bytes=%" PRIu64 " watched=%" PRIu64 " received=%" PRIu64
        " strange=%" PRIu64 " disconnected=%" PRIu64 " unanswered=%" PRIu64 " ownLate=%" PRIu64 " lag=%" PRIu64
        " drain=%" PRIu64 " samples=%zu p50=%" PRIu64 " p99=%" PRIu64 " max=%" PRIu64 " first=%" PRIu64
        " last=%" PRIu64,
        sent, sentPackets, sentBytes, watched, received - missing, strange, disconnected, unanswered, ownLate, mostLag,
        mostDrain, all.count, percentile(&all, 0.5), percentile(&all, 0.99), percentile(&all, 1.0),
        percentile(&delays[0], 0.5), percentile(&delays[quarters - 1], 0.5));
    free(all.values);
    phase = idle;
}

static int isFinished(void) {
    for (size_t i = 0; i < publisherCount; i++) {
        if (!publishers[i]->isDone && !publishers[i]->peer.isClosed) return 0;
    }
    for (size_t i = 0; i < watcherCount; i++) {
        if (watchers[i]->frames < watchers[i]->source->frames && !watchers[i]->peer.isClosed) return 0;
    }
    return 1;
}

/* ---- the loop ---- */

static void beginRun(double warm, double seconds) {
    uint64_t start = now() + SECOND / 20;
    windowStart = start + (uint64_t)(warm * SECOND);
    windowEnd = windowStart + (uint64_t)(seconds * SECOND);
    /* One frame more than the keyframe interval: the frames of different publishers are spread evenly, too. */
    uint64_t frame = (uint64_t)step * (SECOND / 10000) / (clockRate / 10000);
    for (size_t i = 0; i < publisherCount; i++) {
        struct publisherState *p = publishers[i];
        p->start = p->due = start + i * (STAGGER + frame) / publisherCount;
    }
    phase = warming;
}

/* Does what is due, and returns when something will be; 0: nothing. */
static uint64_t turn(void) {
    uint64_t next = 0;
    if (phase == idle) return 0;
    for (size_t i = 0; i < publisherCount; i++) {
        struct publisherState *p = publishers[i];
        advance(p);
        if (p->peer.isClosed || p->isBlocked || p->isAsking) continue;
        uint64_t due = p->due < windowEnd ? p->due : windowEnd;
        if (!next || due < next) next = due;
    }
    uint64_t time = now();
    if (phase == warming && time >= windowStart) {
        phase = measuring;
        say("started");
    }
    if (phase == measuring && time >= windowEnd) {
        phase = draining;
        lastProgress = time;
        say("measured");
    }
    if (phase == draining) {
        if (isFinished() || time > lastProgress + PATIENCE) finish();
        next = time + SECOND / 10;
    } else {
        uint64_t border = phase == warming ? windowStart : windowEnd;
        if (!next || border < next) next = border;
    }
    return next;
}

static void command(const char *line) {
    size_t count;
    double warm, seconds;
    if (sscanf(line, "watch %zu", &count) == 1) {
        while (watcherCount < count) startWatcher(watcherCount + 1);
        say("watching %zu", watcherCount);
    } else if (sscanf(line, "publish %zu", &count) == 1) {
        while (publisherCount < count) startPublisher(publisherCount + 1);
        say("publishing %zu", publisherCount);
    } else if (sscanf(line, "run %lf %lf", &warm, &seconds) == 2) {
        if (watcherCount > publisherCount || !publisherCount) giveUp("run", "there are not enough publishers");
        for (size_t i = 0; i < watcherCount; i++) watchers[i]->source = publishers[i];
        beginRun(warm, seconds);
    } else {
        giveUp("unknown command", line);
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
    if (size == sizeof line - 1) giveUp("command", "too long");
}

static void serve(struct peer *peer, uint32_t events) {
    uint64_t expirations;
    if (peer->isClosed) return;
    if (peer->kind == control) {
        readCommands();
    } else if (peer->kind == timer) {
        if (read(timerFile, &expirations, sizeof expirations) < 0 && errno != EAGAIN) giveUp("timer", strerror(errno));
    } else if (peer->kind == watcher) {
        readMessages((struct watcherState *)peer);
    } else {
        if (events & ~(uint32_t)EPOLLOUT) readAnswers((struct publisherState *)peer);
        if (events & EPOLLOUT && !peer->isClosed) writable((struct publisherState *)peer);
    }
}

int main(int argc, char **argv) {
    struct epoll_event events[256];
    struct peer controlPeer = {.kind = control, .fd = 0}, timerPeer = {.kind = timer};
    size_t size;
    if (argc != 6 || (strcmp(argv[5], "packet") && strcmp(argv[5], "frame"))) {
        fprintf(stderr, "usage: load PORT RECORDING DESCRIPTION SUFFIX packet|frame\n");
        return 2;
    }
    port = argv[1];
    readRecording(argv[2]);
    description = readFile(argv[3], &size);
    suffix = argv[4];
    suffixSize = strlen(suffix);
    atOnce = !strcmp(argv[5], "frame");
    serverAddress.sin_family = AF_INET;
    serverAddress.sin_port = htons((uint16_t)atoi(port));
    serverAddress.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    prctl(PR_SET_TIMERSLACK, 1ul);
    poller = epoll_create1(EPOLL_CLOEXEC);
    timerFile = timerPeer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (poller < 0 || timerFile < 0 || fcntl(0, F_SETFL, O_NONBLOCK)) giveUp("load", strerror(errno));
    watch(&controlPeer, EPOLLIN, EPOLL_CTL_ADD);
    watch(&timerPeer, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        uint64_t next = turn();
        struct itimerspec when = {.it_value = {.tv_sec = (time_t)(next / SECOND), .tv_nsec = (long)(next % SECOND)}};
        timerfd_settime(timerFile, TFD_TIMER_ABSTIME, &when, NULL);
        int count = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < count; i++) serve(events[i].data.ptr, events[i].events);
    }
}
