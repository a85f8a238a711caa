/* The load generator: bots that say chunks and readers that check them, in one thread of one process.
 *
 * It speaks the relay's own protocols: bots by WebSocket (ActionCable, protocol 1 or 2), devices by POST /sse/rokid and
 * further readers by GET /streams/{id}/events. It also drives what the relay is compared with: `cable` (chunks in as
 * ActionCable, out at GET /sse/{stream}) and `nchan` (chunks in at /wspub/{stream}).
 *
 * A chunk's content is a mark, '#', four digits of its stream, four of its sequence, '#' (base 64), and behind it letters
 * that follow from both. So each reader knows of every chunk whether it is whole, its own, in its place, and new. When
 * a chunk was due is kept here, not in the chunk, so a chunk may be as short as its mark: 10 bytes.
 *
 * With --interval-us the loop is open: a chunk is due whatever the server does, and its latency counts from then. With
 * --interval-us 0 it is closed: each stream has --window chunks unacknowledged, and says the next when one is acknowledged.
 *
 * One line of JSON is all that it prints. Linux only: epoll_pwait2.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MARK 10
#define CONTENT_MAX 16384
#define OPENING_MAX 64           /* connections that are being opened at a time */
#define SEQUENCES_MAX 1000000    /* of one stream: the protocol's limit */
#define SETUP_S 120
#define END_S 4

enum peer { RELAY, CABLE, NCHAN };

static struct {
    enum peer peer;
    int port, reader_port, streams, readers, per_socket, window, size, protocol, core;
    long interval_us, warmup_ms, duration_ms, drain_ms, settle_ms;
    bool idle;
    const char *tokens, *key, *pids;
} want = {.port = 0, .streams = 1, .readers = 1, .per_socket = 1, .window = 16, .size = 32, .protocol = 1, .core = -1,
          .interval_us = 35000, .warmup_ms = 500, .duration_ms = 2000, .drain_ms = 3000, .settle_ms = 1000, .key = ""};

static void give_up(const char *format, ...) {
    va_list words;
    va_start(words, format);
    fputs("generator: ", stderr);
    vfprintf(stderr, format, words);
    fputc('\n', stderr);
    exit(2);
}

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *room_for(size_t count, size_t size) {
    void *at = calloc(count ? count : 1, size);
    if (!at) give_up("out of memory");
    return at;
}

/* --- bytes ------------------------------------------------------------------------------------------------------- */

typedef struct { char *at; size_t n, room; } bytes;

static char *extend(bytes *b, size_t n) {
    if (b->n + n > b->room) {
        b->room = (b->n + n) * 2;
        if (!(b->at = realloc(b->at, b->room))) give_up("out of memory");
    }
    b->n += n;
    return b->at + b->n - n;
}

static void append(bytes *b, const char *from, size_t n) { if (n) memcpy(extend(b, n), from, n); }

static void drop_first(bytes *b, size_t n) {
    if (n && n < b->n) memmove(b->at, b->at + n, b->n - n);
    b->n -= n;
}

static void print_to(bytes *b, const char *format, ...) {
    char text[2048];
    va_list words;
    va_start(words, format);
    int n = vsnprintf(text, sizeof text, format, words);
    va_end(words);
    if (n < 0 || n >= (int)sizeof text) give_up("a text is too long");
    append(b, text, (size_t)n);
}

/* --- latencies: 128 steps for each power of two, so a value is at most 0.8 % off ---------------------------------- */

#define STEPS 128
#define BUCKETS (STEPS * 40)

typedef struct { uint64_t in[BUCKETS], n, max; } latencies;

static void note_latency(latencies *l, uint64_t ns) {
    unsigned bucket = (unsigned)ns;
    if (ns >= STEPS) {
        unsigned shift = 56u - (unsigned)__builtin_clzll(ns);       /* leaves 8 bits, the first of them set */
        bucket = shift * STEPS + (unsigned)(ns >> shift);
        if (bucket >= BUCKETS) bucket = BUCKETS - 1;
    }
    l->in[bucket]++;
    l->n++;
    if (ns > l->max) l->max = ns;
}

static double percentile_us(const latencies *l, double share) {
    uint64_t rank = (uint64_t)((double)l->n * share + 0.999999), so_far = 0;
    for (unsigned bucket = 0; bucket < BUCKETS && l->n; bucket++)
        if ((so_far += l->in[bucket]) >= rank && so_far) {
            if (bucket < 2 * STEPS) return bucket / 1e3;
            unsigned shift = bucket / STEPS - 1;
            return (double)((uint64_t)(bucket - shift * STEPS) << shift) / 1e3;
        }
    return 0;
}

static void print_latencies(const char *name, const latencies *l) {
    printf("\"%s\":{\"n\":%llu,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f},", name, (unsigned long long)l->n,
           percentile_us(l, .5), percentile_us(l, .9), percentile_us(l, .99), percentile_us(l, .999), (double)l->max / 1e3);
}

/* --- what there is ------------------------------------------------------------------------------------------------- */

enum state { WAITS, CONNECTING, SHAKING, SUBSCRIBING, READY, GONE };
enum body { CHUNK_SIZE, CHUNK_DATA, CHUNK_BREAK, PLAIN };

struct stream;
typedef struct {
    int fd, number;
    bool is_bot, dirty, blocked;
    enum state state;
    bytes in, out;
    /* of a bot */
    int first, count;                    /* its streams */
    /* of a reader */
    struct stream *stream;
    enum body body;
    size_t left;                         /* of an HTTP chunk */
    bytes event;                         /* what has come of one */
    unsigned next, got;
    uint64_t *seen;
    size_t seen_words;
} side;

typedef struct stream {
    int number, bot_number;
    side *bot, *readers;
    char id[80];
    bool is_asked;                       /* the bot has its command */
    bytes head, tail;                    /* of a chunk's frame, before and behind its content */
    unsigned sent, acked, granted;       /* granted: sequences below it may be sent */
    uint64_t *due;
    unsigned due_mask;
} stream;

static enum { BOTS, FIRST, MORE, LOAD, DRAIN, ENDING } phase;
static int poller, bot_count, opening;
static side *bots, *all_readers;
static stream *streams;
static side **queue; static size_t queued, queue_at;
static side **dirty; static size_t dirty_count;
static size_t ready_count, gone_readers;
static uint64_t starts, counts_from, ends;
static uint64_t open_next;              /* the open loop's next chunk, of all streams together */
static latencies latency, ack_latency, lag;
static struct {
    uint64_t sent, sent_counted, acked, unknown_acks, delivered, delivered_counted, repeated, disordered, corrupt, foreign;
    uint64_t refused, errors, bytes_in, credit_waits;
} seen;
static char letters[CONTENT_MAX + 64], first_error[256];

static void note_error(const char *format, ...) {
    seen.errors++;
    if (first_error[0]) return;
    va_list words;
    va_start(words, format);
    vsnprintf(first_error, sizeof first_error, format, words);
    va_end(words);
    for (char *c = first_error; *c; c++) if (*c == '"' || *c == '\\' || (unsigned char)*c < 32 || (unsigned char)*c > 126) *c = ' ';
}

/* streams by their id, which the server chooses */
static stream **by_id; static size_t id_slots;

static uint64_t hash_of(const char *id, size_t n) {
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)id[i]) * 1099511628211u;
    return h;
}

static stream *find_stream(const char *id, size_t n) {
    for (size_t at = hash_of(id, n) & (id_slots - 1); by_id[at]; at = (at + 1) & (id_slots - 1))
        if (!strncmp(by_id[at]->id, id, n) && !by_id[at]->id[n]) return by_id[at];
    return NULL;
}

static void name_stream(stream *s, const char *id, size_t n) {
    if (n >= sizeof s->id) give_up("a stream's id is too long");
    memcpy(s->id, id, n);
    s->id[n] = 0;
    size_t at = hash_of(id, n) & (id_slots - 1);
    while (by_id[at]) at = (at + 1) & (id_slots - 1);
    by_id[at] = s;
}

/* --- sockets ------------------------------------------------------------------------------------------------------- */

static void mark_dirty(side *c) {
    if (c->dirty || c->state == GONE) return;
    c->dirty = true;
    dirty[dirty_count++] = c;
}

static void watch(side *c, int how, bool write) {
    struct epoll_event e = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(poller, how, c->fd, &e)) give_up("epoll: %s", strerror(errno));
    c->blocked = write;
}

static void close_side(side *c, const char *why) {
    if (c->state == GONE) return;
    if (c->state == CONNECTING || c->state == SHAKING || c->state == SUBSCRIBING) opening--;
    if (!c->is_bot) gone_readers++;
    if (phase < ENDING) note_error("%s %d: %s", c->is_bot ? "bot" : "reader", c->number, why);
    close(c->fd);
    c->state = GONE;
}

static void flush(side *c) {
    size_t done = 0;
    while (done < c->out.n) {
        ssize_t n = send(c->fd, c->out.at + done, c->out.n - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) { close_side(c, strerror(errno)); return; }
        done += (size_t)n;
    }
    drop_first(&c->out, done);
    if ((c->out.n > 0) != c->blocked) watch(c, EPOLL_CTL_MOD, c->out.n > 0);
}

static void flush_all(void) {
    for (size_t i = 0; i < dirty_count; i++) {
        dirty[i]->dirty = false;
        if (dirty[i]->state > CONNECTING && dirty[i]->state != GONE) flush(dirty[i]);
    }
    dirty_count = 0;
}

static void open_side(side *c) {
    int one = 1, port = c->is_bot ? want.port : want.reader_port;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) give_up("socket: %s (ulimit -n?)", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->state = CONNECTING;
    opening++;
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) give_up("connect: %s", strerror(errno));
    watch(c, EPOLL_CTL_ADD, true);
}

static void open_later(side *c) { c->state = WAITS; queue[queued++] = c; }

static void open_some(void) {
    while (queue_at < queued && opening < OPENING_MAX) open_side(queue[queue_at++]);
}

static void be_ready(side *c) {
    if (c->state == READY) return;
    c->state = READY;
    opening--;
    ready_count++;
}

/* A client's frame. Every one has another mask, as those of real clients. */
static void say(side *c, const char *head, size_t head_n, const char *tail, size_t tail_n, int opcode) {
    static uint32_t mask = 0x5bd1e995;
    mask = mask * 747796405u + 2891336453u;
    size_t n = head_n + tail_n, at = 2;
    unsigned char start[14] = {(unsigned char)(0x80 | opcode)};
    if (n < 126) start[1] = (unsigned char)(0x80 | n);
    else if (n < 65536) { start[1] = 0x80 | 126; start[2] = (unsigned char)(n >> 8); start[3] = (unsigned char)n; at = 4; }
    else give_up("a frame is too long");
    memcpy(start + at, &mask, 4);
    append(&c->out, (char *)start, at + 4);
    char *payload = extend(&c->out, n);
    memcpy(payload, head, head_n);
    if (tail_n) memcpy(payload + head_n, tail, tail_n);
    uint64_t wide = (uint64_t)mask << 32 | mask, word;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) { memcpy(&word, payload + i, 8); word ^= wide; memcpy(payload + i, &word, 8); }
    for (; i < n; i++) payload[i] ^= (char)(mask >> 8 * (i & 3));
    mark_dirty(c);
}

/* --- what is said -------------------------------------------------------------------------------------------------- */

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static signed char digit_of[256];

static void write_digits(char *to, unsigned number) {
    for (int i = 3; i >= 0; i--, number >>= 6) to[i] = DIGITS[number & 63];
}

static long read_digits(const char *from) {
    long number = 0;
    for (int i = 0; i < 4; i++) {
        signed char digit = digit_of[(unsigned char)from[i]];
        if (digit < 0) return -1;
        number = number << 6 | digit;
    }
    return number;
}

static void load_tokens(char (*tokens)[128], char (*users)[80], int count) {
    FILE *file = fopen(want.tokens ? want.tokens : "", "r");
    if (!file) give_up("--tokens FILE with a line \"token user\" for each bot is needed");
    for (int i = 0; i < count; i++)
        if (fscanf(file, "%127s %79s", tokens[i], users[i]) != 2) give_up("%s has %d bots, %d are needed", want.tokens, i, count);
    fclose(file);
}

static char (*tokens)[128], (*users)[80];

static void identifier(bytes *to, int bot, const char *quote) {
    print_to(to, "{%schannel%s:%sBotChannel%s,%sbot_id%s:%s%d%s", quote, quote, quote, quote, quote, quote, quote, bot + 1, quote);
    if (want.protocol == 2) print_to(to, ",%sprotocol%s:2", quote, quote);
    print_to(to, "}");
}

static void build_frame(stream *s) {
    s->head.n = s->tail.n = 0;
    if (want.peer == NCHAN) {
        print_to(&s->head, "{\"type\":\"stream_chunk\",\"content\":\"");
        print_to(&s->tail, ",\"session_id\":\"%s\"}", s->id);
        return;
    }
    print_to(&s->head, "{\"command\":\"message\",\"identifier\":\"");
    identifier(&s->head, s->bot_number, "\\\"");
    print_to(&s->head, "\",\"data\":\"{\\\"type\\\":\\\"stream_chunk\\\",\\\"content\\\":\\\"");
    print_to(&s->tail, ",\\\"session_id\\\":\\\"%s\\\"}\"}", s->id);
}

static void say_chunk(stream *s, uint64_t due) {
    static bytes frame;
    unsigned sequence = s->sent++;
    s->due[sequence & s->due_mask] = due;
    frame.n = 0;
    append(&frame, s->head.at, s->head.n);
    char *content = extend(&frame, (size_t)want.size);
    content[0] = content[MARK - 1] = '#';
    write_digits(content + 1, (unsigned)s->number);
    write_digits(content + 5, sequence);
    memcpy(content + MARK, letters + ((unsigned)s->number + sequence) % 26, (size_t)(want.size - MARK));
    char digits[40];
    int n = sprintf(digits, want.peer == NCHAN ? "\",\"sequence\":%u" : "\\\",\\\"sequence\\\":%u", sequence);
    append(&frame, digits, (size_t)n);
    say(s->bot, frame.at, frame.n, s->tail.at, s->tail.n, 1);
    seen.sent++;
    if (due >= counts_from && due < ends) seen.sent_counted++;
}

static bool may_say(const stream *s) {
    if (s->bot->state != READY || s->sent >= SEQUENCES_MAX) return false;
    return want.protocol == 1 || s->sent < s->granted;
}

/* Open loop: chunk k of all is due k/streams intervals behind the start. What waits for credit stays due when it was. */
static uint64_t due_of(const stream *s, unsigned sequence) {
    uint64_t interval = (uint64_t)want.interval_us * 1000u;
    return starts + sequence * interval + (uint64_t)s->number * interval / (uint64_t)want.streams;
}

static void say_due(stream *s, uint64_t now) {
    if (want.interval_us == 0) {
        while (s->sent - s->acked < (unsigned)want.window && may_say(s)) say_chunk(s, now);
        return;
    }
    for (uint64_t due; (due = due_of(s, s->sent)) <= now && due < ends; ) {
        if (!may_say(s)) { seen.credit_waits++; return; }
        say_chunk(s, due);
        if (due >= counts_from) note_latency(&lag, now - due);
    }
}

static uint64_t next_due(void) {
    return due_of(&streams[open_next % (uint64_t)want.streams], (unsigned)(open_next / (uint64_t)want.streams));
}

/* --- what bots hear ------------------------------------------------------------------------------------------------ */

static const char *behind(const char *from, size_t n, const char *key) {
    const char *at = memmem(from, n, key, strlen(key));
    if (!at) return NULL;
    at += strlen(key);
    while (at < from + n && *at == ' ') at++;
    return at;
}

static stream *stream_named(side *bot, const char *text, size_t n) {
    if (bot->count == 1) return &streams[bot->first];
    const char *id = behind(text, n, "\"session_id\":");
    const char *end = id ? memchr(id + 1, '"', (size_t)(text + n - id - 1)) : NULL;
    return end ? find_stream(id + 1, (size_t)(end - id - 1)) : NULL;
}

static void hear_ack(stream *s, unsigned below, uint64_t now) {
    if (!s || below > s->sent) { seen.unknown_acks++; return; }
    for (; s->acked < below; s->acked++, seen.acked++) {
        uint64_t due = s->due[s->acked & s->due_mask];
        if (due >= counts_from && due < ends) note_latency(&ack_latency, now - due);
    }
}

static void hear_command(const char *text, size_t n) {
    const char *number = behind(text, n, "bench stream "), *id = behind(text, n, "\"session_id\":"), *credit = behind(text, n, "\"credit\":");
    const char *end = id ? memchr(id + 1, '"', (size_t)(text + n - id - 1)) : NULL;
    long at = number ? strtol(number, NULL, 10) : -1;
    if (!end || at < 0 || at >= want.streams || streams[at].is_asked) { note_error("a strange command"); return; }
    stream *s = &streams[at];
    name_stream(s, id + 1, (size_t)(end - id - 1));
    s->granted = credit ? (unsigned)strtol(credit, NULL, 10) : 0;
    build_frame(s);
    s->is_asked = true;
    ready_count++;
}

static void hear(side *bot, const char *text, size_t n, uint64_t now) {
    if (want.peer == NCHAN) {
        stream *s = &streams[bot->first];
        hear_ack(s, s->acked + 1, now);
        if (phase == LOAD && !want.interval_us) say_due(s, now);
        return;
    }
    const char *at;
    if (memmem(text, n, "chunk_received", 14)) {
        stream *s = stream_named(bot, text, n);
        if (!s || !(at = behind(text, n, "\"sequence\":")) || strtoul(at, NULL, 10) != s->acked) { seen.unknown_acks++; return; }
        hear_ack(s, s->acked + 1, now);
        if (phase == LOAD && !want.interval_us) say_due(s, now);
    } else if ((at = behind(text, n, "\"next_sequence\":")) && memmem(text, n, "\"ack\"", 5)) {
        stream *s = stream_named(bot, text, n);
        unsigned next = (unsigned)strtoul(at, NULL, 10);
        const char *credit = behind(text, n, "\"credit\":");
        hear_ack(s, next, now);
        if (s && credit) s->granted = next + (unsigned)strtoul(credit, NULL, 10);
        if (s && phase == LOAD) say_due(s, now);
    } else if (memmem(text, n, "execute_command", 15)) {
        hear_command(text, n);
    } else if (memmem(text, n, "confirm_subscription", 20)) {
        be_ready(bot);
    } else if (memmem(text, n, "\"refused\"", 9)) {
        if (!seen.refused++) note_error("%.*s", (int)(n < 200 ? n : 200), text);
    } else if (memmem(text, n, "disconnect", 10) || memmem(text, n, "reject_sub", 10)) {
        char words[200];
        snprintf(words, sizeof words, "%.*s", (int)n, text);
        close_side(bot, words);
    }
}

static size_t hear_frames(side *bot, char *from, size_t n, uint64_t now) {
    size_t at = 0;
    while (bot->state != GONE && n - at >= 2) {
        unsigned char *f = (unsigned char *)from + at;
        size_t size = f[1] & 127, head = 2;
        if (size == 126) { if (n - at < 4) break; size = (size_t)f[2] << 8 | f[3]; head = 4; }
        else if (size == 127) {
            if (n - at < 10) break;
            size = 0;
            for (int i = 2; i < 10; i++) size = size << 8 | f[i];
            head = 10;
        }
        if (n - at < head + size) break;
        int opcode = f[0] & 15;
        if (opcode == 1) hear(bot, (char *)f + head, size, now);
        else if (opcode == 9) say(bot, (char *)f + head, size, NULL, 0, 10);
        else if (opcode == 8) close_side(bot, "the server closed the WebSocket");
        at += head + size;
    }
    return at;
}

static void subscribe(side *bot) {
    bytes text = {0};
    print_to(&text, "{\"command\":\"subscribe\",\"identifier\":\"");
    identifier(&text, bot->number, "\\\"");
    print_to(&text, "\"}");
    say(bot, text.at, text.n, NULL, 0, 1);
    free(text.at);
    bot->state = SUBSCRIBING;
}

/* --- what readers read --------------------------------------------------------------------------------------------- */

static bool is_new(side *r, unsigned sequence) {
    size_t word = sequence / 64;
    if (word >= r->seen_words) {
        size_t words = word * 2 + 16;
        r->seen = realloc(r->seen, words * 8);
        if (!r->seen) give_up("out of memory");
        memset(r->seen + r->seen_words, 0, (words - r->seen_words) * 8);
        r->seen_words = words;
    }
    uint64_t bit = (uint64_t)1 << sequence % 64;
    if (r->seen[word] & bit) return false;
    r->seen[word] |= bit;
    return true;
}

static void read_chunk(side *r, unsigned sequence, uint64_t now) {
    stream *s = r->stream;
    if (!is_new(r, sequence)) { seen.repeated++; return; }
    if (sequence < r->next) seen.disordered++;
    else r->next = sequence + 1;
    r->got++;
    seen.delivered++;
    if (now >= counts_from && now < ends) seen.delivered_counted++;
    uint64_t due = s->due[sequence & s->due_mask];
    if (due >= counts_from && due < ends) note_latency(&latency, now - due);
}

static void read_events(side *r, const char *from, size_t n, uint64_t now) {
    const char *end = from + n, *at = from;
    size_t size = (size_t)want.size;
    while ((at = memchr(at, '#', (size_t)(end - at)))) {
        long number = -1, sequence = -1;
        if ((size_t)(end - at) > size && at[MARK - 1] == '#') {
            number = read_digits(at + 1);
            sequence = read_digits(at + 5);
        }
        if (number < 0 || sequence < 0 || number >= want.streams || (unsigned)sequence >= streams[number].sent) {
            seen.corrupt++;
            at += (size_t)(end - at) > MARK && at[MARK - 1] == '#' ? MARK : 1;
            continue;
        }
        const char *pad = letters + ((unsigned)number + (unsigned)sequence) % 26;
        if (memcmp(at + MARK, pad, size - MARK) || (at[size] != '"' && at[size] != '#')) seen.corrupt++;
        else if (number != r->stream->number) seen.foreign++;
        else read_chunk(r, (unsigned)sequence, now);
        at += MARK;
    }
}

/* An event counts when its empty line has come, as for every client of SSE. */
static void read_body(side *r, const char *from, size_t n, uint64_t now) {
    bool kept = r->event.n > 0;
    if (kept) { append(&r->event, from, n); from = r->event.at; n = r->event.n; }
    size_t end = n;
    while (end > 1 && !(from[end - 1] == '\n' && (from[end - 2] == '\n' || (end > 2 && from[end - 2] == '\r' && from[end - 3] == '\n')))) end--;
    if (end <= 1) end = 0;
    if (end) read_events(r, from, end, now);
    if (kept) drop_first(&r->event, end);
    else if (end < n) append(&r->event, from + end, n - end);
}

static size_t read_chunks(side *r, const char *from, size_t n, uint64_t now) {
    size_t at = 0;
    while (at < n) {
        if (r->body == PLAIN) { read_body(r, from + at, n - at, now); return n; }
        if (r->body == CHUNK_DATA) {
            size_t some = n - at < r->left ? n - at : r->left;
            read_body(r, from + at, some, now);
            at += some;
            if (!(r->left -= some)) r->body = CHUNK_BREAK;
        } else if (r->body == CHUNK_BREAK) {
            if (n - at < 2) break;
            at += 2;
            r->body = CHUNK_SIZE;
        } else {
            const char *line = memchr(from + at, '\n', n - at);
            if (!line) break;
            r->left = strtoul(from + at, NULL, 16);
            at = (size_t)(line - from) + 1;
            if (!r->left) { close_side(r, "the server ended the response"); return n; }
            r->body = CHUNK_DATA;
        }
    }
    return at;
}

/* Returns the bytes of the head of an answer, or 0 where it is not there yet. */
static size_t take_head(side *c, char *from, size_t n) {
    char *end = memmem(from, n, "\r\n\r\n", 4);
    if (!end) return 0;
    end[2] = 0;
    if (strncmp(from, c->is_bot ? "HTTP/1.1 101" : "HTTP/1.1 200", 12)) {
        char line[120] = "";
        sscanf(from, "%119[^\r\n]", line);
        close_side(c, line);
        return n;
    }
    if (c->is_bot && want.peer != NCHAN) subscribe(c);
    else be_ready(c);
    c->body = strcasestr(from, "\r\ntransfer-encoding: chunked") ? CHUNK_SIZE : PLAIN;
    return (size_t)(end - from) + 4;
}

static void greet(side *c) {
    stream *s = c->is_bot ? &streams[c->first] : c->stream;
    if (c->is_bot) {
        if (want.peer == NCHAN) print_to(&c->out, "GET /wspub/%s HTTP/1.1\r\n", s->id);
        else print_to(&c->out, "GET /cable HTTP/1.1\r\nSec-WebSocket-Protocol: actioncable-v1-json\r\n");
        if (want.peer == RELAY) print_to(&c->out, "Authorization: Bearer %s\r\n", tokens[c->number]);
        print_to(&c->out, "Host: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: YmVuY2gtYmVuY2gtYmVuYw==\r\n\r\n");
    } else if (want.peer != RELAY) {
        print_to(&c->out, "GET /sse/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n", s->id);
    } else if (c != s->readers) {
        print_to(&c->out, "GET /streams/%s/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nAuthorization: Bearer %s\r\n\r\n", s->id, want.key);
    } else {
        char body[512];
        int n = snprintf(body, sizeof body, "{\"message_id\":\"bench-%d\",\"agent_id\":\"bench\",\"user_id\":\"%s\",\"message\":[{\"role\":\"user\",\"type\":\"text\",\"text\":\"bench stream %d\"}]}",
                         s->number, users[s->bot_number], s->number);
        print_to(&c->out, "POST /sse/rokid HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\n"
                 "Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", want.key, n, body);
    }
    c->state = SHAKING;
    flush(c);
}

static void receive(side *c) {
    static char buffer[262144];
    ssize_t got = recv(c->fd, buffer, sizeof buffer, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) { close_side(c, got ? strerror(errno) : "the server closed the connection"); return; }
    seen.bytes_in += (uint64_t)got;
    uint64_t now = clock_ns();
    char *from = buffer;
    size_t n = (size_t)got, used = 0;
    bool kept = c->in.n > 0;
    if (kept) { append(&c->in, buffer, n); from = c->in.at; n = c->in.n; }
    if (c->state == SHAKING) used = take_head(c, from, n);
    if (c->state > SHAKING && c->state != GONE)
        used += c->is_bot ? hear_frames(c, from + used, n - used, now) : read_chunks(c, from + used, n - used, now);
    if (c->state == GONE) return;
    if (kept) drop_first(&c->in, used);
    else if (used < n) append(&c->in, from + used, n - used);
}

static void happen(side *c, uint32_t events) {
    if (c->state == GONE) return;
    if (c->state == CONNECTING) {
        int error = 0;
        socklen_t n = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
        if (error) close_side(c, strerror(error));
        else if (events & EPOLLOUT) greet(c);
        return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
    if (c->state != GONE && (events & EPOLLOUT)) flush(c);
}

/* --- the server's memory and CPU ----------------------------------------------------------------------------------- */

typedef struct { double cpu_s; long pss_kb; } usage;

static usage used_by_server(bool with_memory) {
    usage sum = {0, 0};
    if (!want.pids) return sum;
    char path[64], line[1024];
    for (const char *at = want.pids; *at; at += strcspn(at, ","), at += *at == ',') {
        int pid = atoi(at);
        unsigned long user, system;
        long kb;
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        FILE *file = fopen(path, "r");
        if (file && fgets(line, sizeof line, file)) {
            char *name_end = strrchr(line, ')');
            if (name_end && sscanf(name_end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2)
                sum.cpu_s += (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
        }
        if (file) fclose(file);
        if (!with_memory) continue;
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
        if (!(file = fopen(path, "r"))) continue;
        while (fgets(line, sizeof line, file)) if (sscanf(line, "Pss: %ld", &kb) == 1) sum.pss_kb += kb;
        fclose(file);
    }
    return sum;
}

static double own_cpu_s(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* --- the run ------------------------------------------------------------------------------------------------------- */

static void build(void) {
    int count = want.streams;
    bot_count = (count + want.per_socket - 1) / want.per_socket;
    size_t readers = (size_t)count * (size_t)want.readers;
    bots = room_for((size_t)bot_count, sizeof *bots);
    streams = room_for((size_t)count, sizeof *streams);
    all_readers = room_for(readers, sizeof *all_readers);
    queue = room_for(readers + (size_t)bot_count, sizeof *queue);
    dirty = room_for(readers + (size_t)bot_count, sizeof *dirty);
    for (id_slots = 16; id_slots < 4 * (size_t)count; ) id_slots *= 2;
    by_id = room_for(id_slots, sizeof *by_id);
    if (want.peer == RELAY) {
        tokens = room_for((size_t)bot_count, sizeof *tokens);
        users = room_for((size_t)bot_count, sizeof *users);
        load_tokens(tokens, users, bot_count);
    }
    uint64_t chunks = want.interval_us ? (uint64_t)(want.warmup_ms + want.duration_ms) * 1000u / (uint64_t)want.interval_us + 2 : 65536;
    unsigned due = 64;
    while (due < chunks && due < 1u << 20) due *= 2;
    for (int i = 0; i < bot_count; i++) {
        int left = count - i * want.per_socket;
        bots[i] = (side){.fd = -1, .number = i, .is_bot = true, .first = i * want.per_socket, .count = left < want.per_socket ? left : want.per_socket};
    }
    for (int i = 0; i < count; i++) {
        stream *s = &streams[i];
        s->number = i;
        s->bot_number = i / want.per_socket;
        s->bot = &bots[s->bot_number];
        s->readers = &all_readers[(size_t)i * (size_t)want.readers];
        s->due_mask = due - 1;
        s->due = room_for(due, sizeof *s->due);
        for (int k = 0; k < want.readers; k++) s->readers[k] = (side){.fd = -1, .number = i * want.readers + k, .stream = s};
        if (want.peer == RELAY) continue;
        char id[40];
        int n = sprintf(id, "b%dx%d", getpid(), i);
        name_stream(s, id, (size_t)n);
        s->granted = SEQUENCES_MAX;
        build_frame(s);
    }
}

static bool all_is_read(void) {
    for (int i = 0; i < want.streams; i++) {
        if (streams[i].acked < streams[i].sent) return false;
        for (int k = 0; k < want.readers; k++)
            if (streams[i].readers[k].state != GONE && streams[i].readers[k].got < streams[i].sent) return false;
    }
    return true;
}

static void end_streams(void) {
    bytes text = {0};
    for (int i = 0; i < want.streams && want.peer == RELAY; i++) {
        stream *s = &streams[i];
        if (s->bot->state != READY) continue;
        text.n = 0;
        print_to(&text, "{\"command\":\"message\",\"identifier\":\"");
        identifier(&text, s->bot_number, "\\\"");
        print_to(&text, "\",\"data\":\"{\\\"type\\\":\\\"stream_end\\\",\\\"total_chunks\\\":%u,\\\"session_id\\\":\\\"%s\\\"}\"}", s->sent, s->id);
        say(s->bot, text.at, text.n, NULL, 0, 1);
    }
    free(text.at);
}

static void turn(uint64_t until) {
    static struct epoll_event events[1024];
    uint64_t now = clock_ns(), wait = until > now ? until - now : 0;
    if (wait > 100000000u) wait = 100000000u;
    struct timespec at_most = {0, (long)wait};
    int n = epoll_pwait2(poller, events, 1024, &at_most, NULL);
    for (int i = 0; i < n; i++) happen(events[i].data.ptr, events[i].events);
    flush_all();
}

static void rest(long ms) {
    for (uint64_t until = clock_ns() + (uint64_t)ms * 1000000u; clock_ns() < until; ) turn(until);
}

/* Opens what is queued and waits until `count` are ready; false where an error or the time came first. */
static bool open_all(size_t count) {
    uint64_t until = clock_ns() + SETUP_S * 1000000000ull;
    while (ready_count < count && !seen.errors && clock_ns() < until) {
        open_some();
        turn(until);
    }
    if (ready_count < count) note_error("%zu of %zu were ready in time", ready_count, count);
    ready_count = 0;
    return !seen.errors;
}

static struct { usage before, streams, readers, warm, over; double own_warm, own_over, setup_s; } taken;

static void set_up(void) {
    uint64_t began = clock_ns();
    taken.before = used_by_server(true);
    phase = BOTS;
    for (int i = 0; i < bot_count && (!want.idle || want.peer == RELAY); i++) open_later(&bots[i]);
    if (!open_all(queued)) return;
    phase = FIRST;
    for (int i = 0; i < want.streams; i++) open_later(&streams[i].readers[0]);
    if (!open_all((size_t)want.streams * (want.peer == RELAY ? 2 : 1))) return;
    if (want.idle) rest(want.settle_ms);
    taken.streams = used_by_server(true);
    phase = MORE;
    for (int i = 0; i < want.streams; i++) for (int k = 1; k < want.readers; k++) open_later(&streams[i].readers[k]);
    if (!open_all((size_t)want.streams * (size_t)(want.readers - 1))) return;
    if (want.idle) rest(want.settle_ms);
    taken.readers = used_by_server(true);
    taken.setup_s = (double)(clock_ns() - began) / 1e9;
}

static void load(void) {
    phase = LOAD;
    starts = clock_ns() + 20000000u;
    counts_from = starts + (uint64_t)want.warmup_ms * 1000000u;
    ends = counts_from + (uint64_t)want.duration_ms * 1000000u;
    bool warm = false;
    rest(20);
    for (int i = 0; i < want.streams && !want.idle && !want.interval_us; i++) say_due(&streams[i], clock_ns());
    for (uint64_t now; (now = clock_ns()) < ends; ) {
        if (!warm && now >= counts_from) { warm = true; taken.warm = used_by_server(false); taken.own_warm = own_cpu_s(); }
        uint64_t until = warm ? ends : counts_from;
        if (!want.idle && want.interval_us) {
            while (next_due() <= now) say_due(&streams[open_next++ % (uint64_t)want.streams], now);
            if (next_due() < until) until = next_due();
        }
        flush_all();
        turn(until);
    }
    /* What was due while the machine did something else is said all the same: it was planned. */
    while (!want.idle && want.interval_us && next_due() < ends) say_due(&streams[open_next++ % (uint64_t)want.streams], ends);
    flush_all();
    taken.over = used_by_server(false);
    taken.own_over = own_cpu_s();
    phase = DRAIN;
    for (uint64_t until = ends + (uint64_t)want.drain_ms * 1000000u; clock_ns() < until && !all_is_read(); ) turn(clock_ns() + 5000000u);
    taken.over.pss_kb = used_by_server(true).pss_kb;
    phase = ENDING;
    end_streams();
    size_t readers = (size_t)want.streams * (size_t)want.readers;
    for (uint64_t until = clock_ns() + END_S * 1000000000ull; want.peer == RELAY && gone_readers < readers && clock_ns() < until; ) turn(until);
}

static void report(void) {
    uint64_t expected = 0;
    for (int i = 0; i < want.streams; i++) expected += (uint64_t)streams[i].sent * (uint64_t)want.readers;
    double seconds = (double)want.duration_ms / 1e3;
    #define N(x) (unsigned long long)(x)
    printf("{\"streams\":%d,\"readers\":%d,\"per_socket\":%d,\"interval_us\":%ld,\"window\":%d,\"size\":%d,\"protocol\":%d,\"seconds\":%.3f,\"setup_s\":%.3f,",
           want.streams, want.readers, want.per_socket, want.interval_us, want.window, want.size, want.protocol, seconds, taken.setup_s);
    printf("\"sent\":%llu,\"acked\":%llu,\"delivered\":%llu,\"lost\":%lld,\"repeated\":%llu,\"disordered\":%llu,\"corrupt\":%llu,\"foreign\":%llu,"
           "\"unknown_acks\":%llu,\"refused\":%llu,\"errors\":%llu,\"credit_waits\":%llu,",
           N(seen.sent), N(seen.acked), N(seen.delivered), (long long)(expected - seen.delivered), N(seen.repeated), N(seen.disordered),
           N(seen.corrupt), N(seen.foreign), N(seen.unknown_acks), N(seen.refused), N(seen.errors), N(seen.credit_waits));
    printf("\"sent_per_s\":%.1f,\"delivered_per_s\":%.1f,\"bytes_in\":%llu,", (double)seen.sent_counted / seconds, (double)seen.delivered_counted / seconds, N(seen.bytes_in));
    print_latencies("latency_us", &latency);
    print_latencies("ack_us", &ack_latency);
    print_latencies("lag_us", &lag);
    printf("\"server_cpu_s\":%.3f,\"own_cpu_s\":%.3f,\"pss_kb_before\":%ld,\"pss_kb_streams\":%ld,\"pss_kb_readers\":%ld,\"pss_kb_after\":%ld,\"first_error\":\"%s\"}\n",
           taken.over.cpu_s - taken.warm.cpu_s, taken.own_over - taken.own_warm, taken.before.pss_kb, taken.streams.pss_kb, taken.readers.pss_kb,
           taken.over.pss_kb, first_error);
}

static void read_options(int count, char **given) {
    const struct { const char *name; int *at; } numbers[] = {
        {"--port", &want.port}, {"--reader-port", &want.reader_port}, {"--streams", &want.streams}, {"--readers", &want.readers},
        {"--per-socket", &want.per_socket}, {"--window", &want.window}, {"--size", &want.size}, {"--protocol", &want.protocol}, {"--core", &want.core}};
    const struct { const char *name; long *at; } times[] = {
        {"--interval-us", &want.interval_us}, {"--warmup-ms", &want.warmup_ms}, {"--duration-ms", &want.duration_ms},
        {"--drain-ms", &want.drain_ms}, {"--settle-ms", &want.settle_ms}};
    const struct { const char *name; const char **at; } texts[] = {{"--tokens", &want.tokens}, {"--key", &want.key}, {"--pids", &want.pids}};
    for (int i = 1; i < count; i++) {
        const char *name = given[i], *value = i + 1 < count ? given[i + 1] : NULL;
        bool known = !strcmp(name, "--idle");
        if (known) { want.idle = true; continue; }
        if (!value) give_up("%s needs a value", name);
        if (!strcmp(name, "--peer")) {
            known = true;
            want.peer = !strcmp(value, "relay") ? RELAY : !strcmp(value, "cable") ? CABLE : !strcmp(value, "nchan") ? NCHAN : (known = false, RELAY);
        }
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) if (!strcmp(name, numbers[k].name)) { *numbers[k].at = atoi(value); known = true; }
        for (size_t k = 0; k < sizeof times / sizeof *times; k++) if (!strcmp(name, times[k].name)) { *times[k].at = atol(value); known = true; }
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) if (!strcmp(name, texts[k].name)) { *texts[k].at = value; known = true; }
        if (!known) give_up("unknown: %s %s", name, value);
        i++;
    }
    if (!want.reader_port) want.reader_port = want.port;
    if (want.port < 1 || want.streams < 1 || want.readers < 1 || want.per_socket < 1 || want.window < 1 || want.size < MARK || want.size > CONTENT_MAX ||
        want.interval_us < 0 || want.duration_ms < 1 || want.warmup_ms < 0 || (want.protocol != 1 && want.protocol != 2) || (want.peer == NCHAN && want.per_socket > 1))
        give_up("--port is needed, --size is 10 to 16384, and nothing may be below 1; nchan has a socket for each stream");
}

int main(int count, char **given) {
    read_options(count, given);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    cpu_set_t cores;
    CPU_ZERO(&cores);
    if (want.core >= 0) {
        CPU_SET(want.core, &cores);
        if (sched_setaffinity(0, sizeof cores, &cores)) give_up("core %d: %s", want.core, strerror(errno));
    }
    memset(digit_of, -1, sizeof digit_of);
    for (int i = 0; i < 64; i++) digit_of[(unsigned char)DIGITS[i]] = (signed char)i;
    for (size_t i = 0; i < sizeof letters; i++) letters[i] = (char)('a' + i % 26);
    poller = epoll_create1(EPOLL_CLOEXEC);
    build();
    set_up();
    if (!seen.errors) load();
    report();
    return seen.errors ? 1 : 0;
}
