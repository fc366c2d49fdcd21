/* Encode triangles: each by an edge and a vertex that were used shortly before. */

#include <stdlib.h>
#include <string.h>

#include "codec.h"

enum { RECENT = 16, MOST_EDGE = 15, MOST_VERTEX = 13, MOST_CORNER = 14, ALONE = 15 };

/* Where a triangle's second and third corner lie, for those that share no recent edge: the pairs
 * that a code of one byte can name, as the package has them. */
static const uint8_t pairs[16] = {0x00, 0x76, 0x87, 0x56, 0x67, 0x78, 0xa9, 0x86,
                                  0x65, 0x89, 0x68, 0x98, 0x01, 0x69, 0,    0};

/* What was used shortly before. Edges and vertices are counted from 1; of each vertex the last
 * edge that begins there is known, and of each recent edge the one before from the same vertex. */
typedef struct {
    struct {
        uint32_t edge, vertex;
    } *latest; /* by vertex, 0: none */
    uint32_t ends[RECENT], before[RECENT];
    uint32_t edges, vertices;
    uint32_t next, last; /* number of the next new vertex; the last number that was written out */
    uint8_t *data;
} recent;

static void add_edge(recent *r, uint32_t a, uint32_t b) {
    const uint32_t number = ++r->edges;
    r->ends[number % RECENT] = b;
    r->before[number % RECENT] = r->latest[a].edge;
    r->latest[a].edge = number;
}

/* How many edges ago the edge was used; RECENT or more: too many. */
static uint32_t find_edge(const recent *r, uint32_t a, uint32_t b) {
    uint32_t number = r->latest[a].edge;
    while (number && r->edges - number < RECENT) {
        if (r->ends[number % RECENT] == b) return r->edges - number;
        number = r->before[number % RECENT];
    }
    return RECENT;
}

static void add_vertex(recent *r, uint32_t v) { r->latest[v].vertex = ++r->vertices; }

static uint32_t find_vertex(const recent *r, uint32_t v) {
    const uint32_t number = r->latest[v].vertex;
    return number && r->vertices - number < RECENT ? r->vertices - number : RECENT;
}

/* Write a number as its difference from the last, seven bits a byte, the lowest first. */
static void put_number(recent *r, uint32_t number) {
    const uint32_t difference = number - r->last;
    uint32_t rest = difference << 1 ^ (0 - (difference >> 31));
    for (; rest > 127; rest >>= 7) *r->data++ = (uint8_t)(rest | 128);
    *r->data++ = (uint8_t)rest;
    r->last = number;
}

/* The code of a triangle whose edge from a to b was used ``ago``. */
static uint8_t put_neighbour(recent *r, uint32_t ago, uint32_t a, uint32_t b, uint32_t c) {
    uint32_t code = find_vertex(r, c);
    if (code < 1 || code >= MOST_VERTEX) {
        if (c == r->next) {
            code = 0;
            r->next++;
        } else if (c + 1 == r->last || c == r->last + 1) {
            code = c == r->last + 1 ? MOST_VERTEX + 1 : MOST_VERTEX;
            r->last = c;
        } else {
            code = ALONE;
            put_number(r, c);
        }
        add_vertex(r, c);
    }
    add_edge(r, c, b);
    add_edge(r, a, c);
    return (uint8_t)(ago << 4 | code);
}

/* The code of a corner, of which ``ago`` others were vertices since; a new vertex is counted. */
static uint8_t corner_code(recent *r, uint32_t ago, uint32_t v) {
    if (ago < MOST_CORNER) return (uint8_t)(ago + 1);
    if (v != r->next) return ALONE;
    r->next++;
    return 0;
}

/* The code of a triangle without a recent edge. */
static uint8_t put_alone(recent *r, uint32_t a, uint32_t b, uint32_t c) {
    if (b == r->next || c == r->next) {
        const uint32_t corners[3] = {a, b, c};
        const int turn = b == r->next ? 1 : 2;
        a = corners[turn];
        b = corners[(turn + 1) % 3];
        c = corners[(turn + 2) % 3];
    }
    const uint32_t ago_b = find_vertex(r, b), ago_c = find_vertex(r, c);
    const uint8_t first = corner_code(r, RECENT, a);
    const uint8_t second = corner_code(r, ago_b, b), third = corner_code(r, ago_c, c);
    const uint8_t pair = (uint8_t)(second << 4 | third);
    int known = 0;
    while (known < 14 && pairs[known] != pair) known++;
    if (first || known == 14) {
        known = first ? 15 : 14;
        *r->data++ = pair;
    }
    if (first) put_number(r, a);
    if (second == ALONE) put_number(r, b);
    if (third == ALONE) put_number(r, c);
    add_vertex(r, a);
    if (second == 0 || second == ALONE) add_vertex(r, b);
    if (third == 0 || third == ALONE) add_vertex(r, c);
    add_edge(r, b, a);
    add_edge(r, c, b);
    add_edge(r, a, c);
    return (uint8_t)(0xf0 | known);
}

static uint8_t put_triangle(recent *r, uint32_t a, uint32_t b, uint32_t c) {
    const uint32_t ab = find_edge(r, a, b), bc = find_edge(r, b, c), ca = find_edge(r, c, a);
    if (ab < bc && ab < ca && ab < MOST_EDGE) return put_neighbour(r, ab, a, b, c);
    if (bc < ca && bc < MOST_EDGE) return put_neighbour(r, bc, b, c, a);
    if (ca < MOST_EDGE) return put_neighbour(r, ca, c, a, b);
    return put_alone(r, a, b, c);
}

size_t mo_triangles_bound(size_t count) { return 1 + count * (1 + 1 + 3 * 5) + sizeof pairs; }

size_t mo_encode_triangles(const uint32_t *triangles, size_t count, size_t vertex_count,
                           uint32_t *order, size_t *used, uint8_t *out) {
    recent r = {0};
    uint32_t *numbers = malloc((vertex_count + 1) * sizeof *numbers), found = 0;
    r.latest = calloc(vertex_count + 1, sizeof *r.latest);
    r.data = out + 1 + count;
    *out = 0xe1;
    if (numbers && r.latest) {
        memset(numbers, -1, vertex_count * sizeof *numbers);
        for (size_t t = 0; t < count; t++) {
            uint32_t corners[3];
            for (int i = 0; i < 3; i++) {
                const uint32_t v = triangles[3 * t + (size_t)i];
                if (numbers[v] == UINT32_MAX) {
                    order[found] = v;
                    numbers[v] = found++;
                }
                corners[i] = numbers[v];
            }
            out[1 + t] = put_triangle(&r, corners[0], corners[1], corners[2]);
        }
        memcpy(r.data, pairs, sizeof pairs);
        r.data += sizeof pairs;
    }
    const int done = numbers && r.latest;
    free(numbers);
    free(r.latest);
    *used = found;
    return done ? (size_t)(r.data - out) : 0;
}
