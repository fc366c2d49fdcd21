#include "codec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- rows: the differences of each byte from the row before, in groups of 16 */

enum { GROUP = 16, MOST_ROWS = 256, BLOCK_BYTES = 8192, LEAST_TAIL = 32 };

static size_t rows_of_block(size_t stride) {
    const size_t rows = BLOCK_BYTES / stride / GROUP * GROUP;
    return rows < MOST_ROWS ? rows : MOST_ROWS;
}

size_t mo_rows_bound(size_t count, size_t stride) {
    const size_t rows = rows_of_block(stride), blocks = (count + rows - 1) / rows;
    return 1 + blocks * stride * (rows + MOST_ROWS / GROUP / 4) + stride + LEAST_TAIL;
}

/* Write a group with 0, 2, 4 or 8 bits a value, whatever is shortest; ``*kind`` is 0, 1, 2 or 3, and
 * before that of the group before, which is kept if it is as short as 2 or 4 bits can be. A value that
 * has no room has all bits set, and follows as a byte. */
static uint8_t *put_group(const uint8_t *values, uint8_t *out, int *kind) {
    uint8_t any = 0, over2 = 0, over4 = 0;
    for (int i = 0; i < GROUP; i++) {
        any |= values[i];
        over2 = (uint8_t)(over2 + (values[i] >= 3));
        over4 = (uint8_t)(over4 + (values[i] >= 15));
    }
    if (!any) {
        *kind = 0;
        return out;
    }
    const int sizes[4] = {GROUP + 1, GROUP / 4 + over2, GROUP / 2 + over4, GROUP};
    int best = 3;
    for (int k = 1; k < 3; k++) best = sizes[k] < sizes[best] ? k : best;
    if (best == 3 || sizes[*kind] > sizes[best]) *kind = best;
    if (*kind == 3) {
        memcpy(out, values, GROUP);
        return out + GROUP;
    }
    const int bits = 2 * *kind, each = 8 / bits;
    const uint8_t most = (uint8_t)((1 << bits) - 1);
    uint8_t small[GROUP];
    for (int i = 0; i < GROUP; i++) small[i] = values[i] < most ? values[i] : most;
    for (int i = 0; i < GROUP; i += each) {
        unsigned packed = 0;
        for (int k = 0; k < each; k++) packed = packed << bits | small[i + k];
        *out++ = (uint8_t)packed;
    }
    for (int i = 0; i < GROUP; i++) {
        *out = values[i];
        out += values[i] >= most;
    }
    return out;
}

/* Write one byte of each of a block's rows. */
static uint8_t *put_column(const uint8_t *differences, size_t count, uint8_t *out) {
    const size_t groups = (count + GROUP - 1) / GROUP;
    uint8_t *kinds = out;
    memset(kinds, 0, (groups + 3) / 4);
    out += (groups + 3) / 4;
    int kind = 0;
    for (size_t g = 0; g < groups; g++) {
        out = put_group(differences + g * GROUP, out, &kind);
        kinds[g / 4] = (uint8_t)(kinds[g / 4] | kind << 2 * (g % 4));
    }
    return out;
}

size_t mo_encode_rows(const uint8_t *rows, size_t width, size_t stride, const uint32_t *order,
                      size_t count, uint8_t *out) {
    const size_t most = rows_of_block(stride);
    uint8_t *const begin = out;
    uint8_t columns[BLOCK_BYTES], last[MOST_ROWS] = {0};
    *out++ = 0xa0;
    if (count) memcpy(last, rows + order[0] * width, width);
    for (size_t first = 0; first < count; first += most) {
        const size_t here = count - first < most ? count - first : most;
        for (size_t i = 0; i < here; i++) {
            const uint8_t *row = rows + order[first + i] * width;
            for (size_t k = 0; k < width; k++) columns[k * most + i] = row[k];
        }
        for (size_t k = 0; k < stride; k++) {
            uint8_t *column = columns + k * most, differences[MOST_ROWS];
            if (k >= width) {
                memset(out, 0, (here + 4 * GROUP - 1) / GROUP / 4);
                out += (here + 4 * GROUP - 1) / GROUP / 4;
                continue;
            }
            memset(differences, 0, sizeof differences);
            differences[0] = (uint8_t)(column[0] - last[k]);
            for (size_t i = 1; i < here; i++)
                differences[i] = (uint8_t)(column[i] - column[i - 1]);
            /* The sign becomes the lowest bit. */
            for (size_t i = 0; i < here; i++)
                differences[i] = (uint8_t)(differences[i] << 1 ^ -(differences[i] >> 7));
            last[k] = column[here - 1];
            out = put_column(differences, here, out);
        }
    }
    /* The first row, after zeros. */
    const size_t tail = stride < LEAST_TAIL ? LEAST_TAIL : stride;
    memset(out, 0, tail);
    if (count) memcpy(out + tail - stride, rows + order[0] * width, width);
    return (size_t)(out + tail - begin);
}

/* ---- triangles: each by an edge and a vertex that were used shortly before */

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

/* ---- positions */

size_t mo_snap(const float *positions, size_t count, const double low[3], double step,
               uint16_t *points) {
    int bits = 4;
    while ((size_t)1 << bits < 2 * count) bits++;
    /* The points by a hash of their coordinates, as one number above 0; 0: none. */
    uint64_t *places = calloc((size_t)1 << bits, sizeof *places);
    const size_t last = ((size_t)1 << bits) - 1;
    size_t found = 0;
    for (size_t v = 0; places && v < count; v++) {
        uint64_t point = 1;
        for (int a = 0; a < 3; a++) {
            const double at = rint(((double)positions[3 * v + (size_t)a] - low[a]) / step);
            points[3 * v + (size_t)a] = (uint16_t)(at < 0 ? 0 : at > UINT16_MAX ? UINT16_MAX : at);
            point += (uint64_t)points[3 * v + (size_t)a] << 16 * a;
        }
        size_t place = (size_t)(point * 0x9e3779b97f4a7c15U >> (64 - bits));
        while (places[place] && places[place] != point) place = (place + 1) & last;
        found += !places[place];
        places[place] = point;
    }
    free(places);
    return found;
}

/* ---- normals */

static int8_t byte_of(float share) {
    const float scaled = 127 * (share < -1 ? -1 : share > 1 ? 1 : share);
    return (int8_t)(scaled + (scaled < 0 ? -0.5F : 0.5F));
}

void mo_octahedral(const float *normals, size_t count, int8_t *out) {
    for (size_t v = 0; v < count; v++) {
        float x = normals[3 * v], y = normals[3 * v + 1];
        const float z = normals[3 * v + 2], sum = fabsf(x) + fabsf(y) + fabsf(z);
        const float scale = sum > 0 ? 1 / sum : 0;
        x *= scale;
        y *= scale;
        /* The lower half is folded over the diagonals. */
        const float over_x = x < 0 ? fabsf(y) - 1 : 1 - fabsf(y);
        const float over_y = y < 0 ? fabsf(x) - 1 : 1 - fabsf(x);
        out[4 * v] = byte_of(z < 0 ? over_x : x);
        out[4 * v + 1] = byte_of(z < 0 ? over_y : y);
        out[4 * v + 2] = 127;
        out[4 * v + 3] = 0;
    }
}
