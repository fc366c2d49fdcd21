#include "texture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Triangles longer than this share of the atlas bridge places far apart. */
static const float BRIDGE = 1.0F / 32;
/* Weights that count as inside of a triangle, so that neighbours leave no gap between them. */
static const float INSIDE = -1e-5F;
/* Weight of a node that is drawn but hardly seen. */
static const float LEAST = 1e-6F;

/* ---- triangles on a grid */

/* Visit the centres of a grid's cells in a triangle.

   Weights of the second and third corner: base + x dx + y dy at the centre of cell (x, y). */
typedef struct {
    int left, top, right, bottom; /* cells [left, right) x [top, bottom) */
    float base[2], dx[2], dy[2];
} tx_walk;

/* First cell whose centre is not before ``value``, within 0 to ``limit``. */
static int from(float value, int limit) {
    const float at = value - 0.5F;
    if (!(at > 0)) return 0;
    if (at >= (float)limit) return limit;
    const int whole = (int)at;
    return whole + (at > (float)whole);
}

static float least(float a, float b, float c) {
    const float m = a < b ? a : b;
    return m < c ? m : c;
}

static float most(float a, float b, float c) { return -least(-a, -b, -c); }

/* Fails when no centre is near, or the triangle has no area. Corners: x and y in cells. */
static int set_walk(tx_walk *walk, const float *a, const float *b, const float *c, int side) {
    const float slack = 1e-4F;
    walk->left = from(least(a[0], b[0], c[0]) - slack, side);
    walk->right = from(most(a[0], b[0], c[0]) + slack, side);
    if (walk->left >= walk->right) return 0;
    walk->top = from(least(a[1], b[1], c[1]) - slack, side);
    walk->bottom = from(most(a[1], b[1], c[1]) + slack, side);
    if (walk->top >= walk->bottom) return 0;
    const float ux = b[0] - a[0], uy = b[1] - a[1], vx = c[0] - a[0], vy = c[1] - a[1];
    const float inverse = 1 / (ux * vy - vx * uy);
    if (!isfinite(inverse)) return 0;
    const float x = 0.5F - a[0], y = 0.5F - a[1];
    walk->dx[0] = vy * inverse;
    walk->dy[0] = -vx * inverse;
    walk->dx[1] = -uy * inverse;
    walk->dy[1] = ux * inverse;
    for (int k = 0; k < 2; k++) walk->base[k] = walk->dx[k] * x + walk->dy[k] * y;
    return 1;
}

static int weigh(const tx_walk *walk, int x, int y, float *second, float *third) {
    *second = walk->base[0] + walk->dx[0] * (float)x + walk->dy[0] * (float)y;
    *third = walk->base[1] + walk->dx[1] * (float)x + walk->dy[1] * (float)y;
    return *second >= INSIDE && *third >= INSIDE && *second + *third <= 1 - INSIDE;
}

void tx_depth(const float *vertices, const uint32_t *triangles, size_t triangle_count, size_t side,
              float *depth) {
    for (size_t i = 0; i < side * side; i++) depth[i] = INFINITY;
    for (size_t t = 0; t < triangle_count; t++, triangles += 3) {
        const float *a = vertices + 3 * (size_t)triangles[0];
        const float *b = vertices + 3 * (size_t)triangles[1];
        const float *c = vertices + 3 * (size_t)triangles[2];
        tx_walk walk;
        /* What faces away is behind something that does not. */
        if ((b[0] - a[0]) * (c[1] - a[1]) < (c[0] - a[0]) * (b[1] - a[1])) continue;
        if (!set_walk(&walk, a, b, c, (int)side)) continue;
        for (int y = walk.top; y < walk.bottom; y++) {
            for (int x = walk.left; x < walk.right; x++) {
                float second, third;
                if (!weigh(&walk, x, y, &second, &third)) continue;
                const float z = a[2] + second * (b[2] - a[2]) + third * (c[2] - a[2]);
                float *out = depth + side * (size_t)y + (size_t)x;
                if (z < *out) *out = z;
            }
        }
    }
}

/* ---- trace */

static int is_bridge(const float *a, const float *b, const float *c, float limit) {
    return most(a[0], b[0], c[0]) - least(a[0], b[0], c[0]) > limit ||
           most(a[1], b[1], c[1]) - least(a[1], b[1], c[1]) > limit;
}

static void trace_triangle(const tx_mesh *mesh, const uint32_t *corner, size_t nodes,
                           float *trace) {
    const float scale = (float)nodes;
    float at[3][2];
    for (size_t k = 0; k < 3; k++) {
        const float *place = mesh->places + 2 * (size_t)corner[k];
        at[k][0] = scale * place[0], at[k][1] = scale * place[1];
    }
    tx_walk walk;
    if (!set_walk(&walk, at[0], at[1], at[2], (int)nodes)) return;
    const int bridge = is_bridge(at[0], at[1], at[2], BRIDGE * scale);
    const float *a = mesh->spots + 2 * (size_t)corner[0], *b = mesh->spots + 2 * (size_t)corner[1];
    const float *c = mesh->spots + 2 * (size_t)corner[2], *w = mesh->weights;
    for (int y = walk.top; y < walk.bottom; y++) {
        float *out = trace + 3 * (nodes * (size_t)y + (size_t)walk.left);
        for (int x = walk.left; x < walk.right; x++, out += 3) {
            float second, third;
            if ((bridge && out[2] > 0) || !weigh(&walk, x, y, &second, &third)) continue;
            const float first = 1 - second - third;
            out[0] = first * a[0] + second * b[0] + third * c[0];
            out[1] = first * a[1] + second * b[1] + third * c[1];
            const float weight = first * w[corner[0]] + second * w[corner[1]] + third * w[corner[2]];
            out[2] = weight > LEAST ? weight : LEAST;
        }
    }
}

/* Give nodes beside the trace the points that follow from the two next to them, with no weight:
   what lies between two nodes is interpolated. */
static void extend(size_t nodes, float *trace) {
    const ptrdiff_t row = 3 * (ptrdiff_t)nodes;
    const ptrdiff_t steps[8] = {3, -3, row, -row, row + 3, row - 3, 3 - row, -row - 3};
    for (size_t y = 2; y + 2 < nodes; y++) {
        float *node = trace + 3 * (nodes * y + 2);
        for (size_t x = 2; x + 2 < nodes; x++, node += 3) {
            if (node[2] > 0) continue;
            float sum[2] = {0, 0}, count = 0;
            for (int k = 0; k < 8; k++) {
                const float *near = node + steps[k], *next = near + steps[k];
                if (!(near[2] > 0)) continue;
                const float more = next[2] > 0 ? 1 : 0;
                sum[0] += near[0] + more * (near[0] - next[0]);
                sum[1] += near[1] + more * (near[1] - next[1]);
                count++;
            }
            if (count > 0) node[0] = sum[0] / count, node[1] = sum[1] / count;
        }
    }
}

void tx_trace(const tx_mesh *mesh, size_t nodes, float *trace) {
    memset(trace, 0, 3 * nodes * nodes * sizeof *trace);
    const float *w = mesh->weights;
    const uint32_t *corner = mesh->triangles;
    for (size_t t = 0; t < mesh->triangle_count; t++, corner += 3)
        if (w[corner[0]] > 0 || w[corner[1]] > 0 || w[corner[2]] > 0)
            trace_triangle(mesh, corner, nodes, trace);
    extend(nodes, trace);
}

/* ---- colours of the photo */

/* Eight channels of 16 bits. */
typedef uint16_t tx_lanes __attribute__((vector_size(16)));
typedef uint8_t tx_bytes __attribute__((vector_size(8)));

enum { FRACTION = 7, ONE = 1 << FRACTION };

/* Red, green and blue of two pixels side by side; the last two lanes are of no use. */
static tx_lanes two_pixels(const uint8_t *at) {
    tx_bytes bytes;
    memcpy(&bytes, at, sizeof bytes);
    return __builtin_convertvector(bytes, tx_lanes);
}

/* Bilinear sample between the pixel at ``at`` and its neighbours, ``x`` and ``y`` of ONE further;
   red, green and blue in the three low bytes. */
static uint32_t sample(const uint8_t *at, size_t stride, unsigned x, unsigned y) {
    const uint16_t l = (uint16_t)(ONE - x), r = (uint16_t)x;
    const uint16_t up = (uint16_t)(ONE - y), down = (uint16_t)y;
    const tx_lanes across = {l, l, l, r, r, r, 0, 0};
    const tx_lanes column =
        (two_pixels(at) * up + two_pixels(at + stride) * down + ONE / 2) >> FRACTION;
    const tx_lanes both = column * across;
    uint64_t half[2];
    memcpy(half, &both, sizeof half);
    const uint64_t sum = half[0] + (half[0] >> 48 | half[1] << 16) + 0x4000400040U;
    return (uint32_t)((sum >> FRACTION & 0xff) | (sum >> (16 + FRACTION - 8) & 0xff00) |
                      (sum >> (32 + FRACTION - 16) & 0xff0000));
}

/* What a row of texels shows: points of the photo, 16.16 pixels, and weights, 16.16. */
typedef struct {
    int32_t *x, *y, *weight;
} tx_spots;

typedef struct {
    const tx_photo *photo;
    size_t nodes, side;
    tx_spots coarse; /* nodes + 2: the trace at the row, its ends twice */
    tx_spots fine;   /* side */
} tx_reader;

static int32_t fixed(float value) { return (int32_t)(65536 * value); }

/* Interpolate the trace between two of its rows, ``down`` from the first. */
static void set_coarse(tx_reader *reader, const float *above, const float *below, float down) {
    const float width = (float)reader->photo->width, height = (float)reader->photo->height;
    const tx_spots *out = &reader->coarse;
    for (size_t k = 1; k <= reader->nodes; k++, above += 3, below += 3) {
        out->x[k] = fixed(width * (above[0] + down * (below[0] - above[0])) - 0.5F);
        out->y[k] = fixed(height * (above[1] + down * (below[1] - above[1])) - 0.5F);
        out->weight[k] = fixed(above[2] + down * (below[2] - above[2]));
    }
    int32_t *const ends[3] = {out->x, out->y, out->weight};
    for (int k = 0; k < 3; k++) {
        ends[k][0] = ends[k][1];
        ends[k][reader->nodes + 1] = ends[k][reader->nodes];
    }
}

/* Interpolate along the row. */
static void set_fine(tx_reader *reader) {
    const int32_t step = (int32_t)(reader->side / reader->nodes), half = step / 2;
    const int32_t side = (int32_t)reader->side;
    const tx_spots *in = &reader->coarse, *out = &reader->fine;
    for (int32_t piece = 0; piece <= (int32_t)reader->nodes; piece++) {
        const int32_t start = piece * step - half;
        const int32_t begin = start < 0 ? 0 : start;
        const int32_t end = start + step < side ? start + step : side;
        if (in->weight[piece] <= 0 && in->weight[piece + 1] <= 0) {
            for (int32_t t = begin; t < end; t++) out->weight[t] = 0;
            continue;
        }
        const int32_t *const from_[3] = {in->x + piece, in->y + piece, in->weight + piece};
        int32_t *const to[3] = {out->x, out->y, out->weight};
        for (int k = 0; k < 3; k++) {
            const int32_t slope = (from_[k][1] - from_[k][0]) / step;
            /* The centre of the first texel lies half a texel after that of the node. */
            int32_t value = from_[k][0] + slope * (begin - start) + (step % 2 ? slope : slope / 2);
            for (int32_t t = begin; t < end; t++, value += slope) to[k][t] = value;
        }
    }
}

static int32_t within(int32_t value, int32_t limit) {
    return value < 0 ? 0 : value > limit ? limit : value;
}

static uint32_t colour_at(const tx_reader *reader, size_t texel) {
    const tx_photo *photo = reader->photo;
    /* Eight bytes are read of each row of pixels: not from its last two. */
    const int32_t most_x = (int32_t)((photo->width - 2) << 16) - 1;
    const int32_t most_y = (int32_t)((photo->height - 1) << 16) - 1;
    const uint32_t x = (uint32_t)within(reader->fine.x[texel], most_x);
    const uint32_t y = (uint32_t)within(reader->fine.y[texel], most_y);
    const size_t stride = 3 * photo->width;
    return sample(photo->pixels + (y >> 16) * stride + 3 * (size_t)(x >> 16), stride,
                  x >> (16 - FRACTION) & (ONE - 1), y >> (16 - FRACTION) & (ONE - 1));
}

/* ---- plan */

enum { OWN = 6, MIRRORED = 7 };

/* A row of the plan at the columns of the atlas: colours in halves, shares of ONE. */
typedef struct {
    uint16_t *base, *mean;    /* side x 3 */
    uint16_t *own, *mirrored; /* side */
} tx_row;

static uint16_t *widen(uint16_t *out, const float *plan, size_t cells, size_t block, size_t first,
                       size_t channels, float scale) {
    const float step = 1 / (float)block;
    for (size_t x = 0; x < cells * block; x++) {
        const float at = ((float)x + 0.5F) * step - 0.5F;
        const size_t low = at > 0 ? (size_t)at : 0;
        const size_t high = low + 1 < cells ? low + 1 : low;
        const float part = at > 0 ? at - (float)low : 0;
        const float *a = plan + TX_PLAN * low + first, *b = plan + TX_PLAN * high + first;
        for (size_t c = 0; c < channels; c++)
            out[channels * x + c] = (uint16_t)(scale * (a[c] + part * (b[c] - a[c])) + 0.5F);
    }
    return out;
}

static tx_row wide_row(uint16_t *room, const float *plan, size_t cells, size_t block) {
    const size_t side = cells * block;
    tx_row row;
    row.base = widen(room, plan, cells, block, 0, 3, 2);
    row.mean = widen(room + 3 * side, plan, cells, block, 3, 3, 2);
    row.own = widen(room + 6 * side, plan, cells, block, OWN, 1, ONE);
    row.mirrored = widen(room + 7 * side, plan, cells, block, MIRRORED, 1, ONE);
    return row;
}

/* What the cells around a block of texels say of it: no photo, the photo alone, or both. */
typedef enum { FILL, COPY, MIX } tx_kind;

static tx_kind kind_of(const float *const rows[2], size_t cell, size_t cells) {
    const size_t begin = cell ? cell - 1 : 0, end = cell + 2 < cells ? cell + 2 : cells;
    int fill = 1, copy = 1;
    for (int r = 0; r < 2; r++) {
        for (size_t k = begin; k < end; k++) {
            const float *at = rows[r] + TX_PLAN * k;
            fill = fill && !(at[OWN] > 0) && !(at[MIRRORED] > 0);
            copy = copy && at[OWN] >= 1;
        }
    }
    return copy ? COPY : fill ? FILL : MIX;
}

/* ---- atlas */

typedef struct {
    const tx_reader *reader;
    tx_row above, below;
    unsigned down; /* how far below the row is, of ONE */
    uint8_t *out;
} tx_line;

static void fill_block(const tx_line *line, size_t begin, size_t end) {
    const uint16_t down = (uint16_t)line->down, up = (uint16_t)(ONE - down);
    const uint16_t *a = line->above.base, *b = line->below.base;
    for (size_t k = 3 * begin; k < 3 * end; k++)
        line->out[k] = (uint8_t)((uint16_t)(a[k] * up + b[k] * down + ONE) >> (FRACTION + 1));
}

/* Fails where the photo does not count in full. */
static int copy_block(const tx_line *line, size_t begin, size_t end) {
    const int32_t *weight = line->reader->fine.weight;
    int32_t least_weight = 65536;
    for (size_t x = begin; x < end; x++)
        least_weight = weight[x] < least_weight ? weight[x] : least_weight;
    if (least_weight < 65536 / 2) return 0;
    for (size_t x = begin; x < end; x++) {
        const uint32_t colour = colour_at(line->reader, x);
        for (size_t c = 0; c < 3; c++) line->out[3 * x + c] = (uint8_t)(colour >> (8 * c));
    }
    return 1;
}

static int between(const uint16_t *above, const uint16_t *below, size_t at, unsigned down) {
    return (int)(above[at] * (ONE - down) + below[at] * down) >> FRACTION;
}

/* Add a share, of ONE, of the photo's detail at a texel to the channels of a sum, of 2 ONE. */
static void add_detail(const tx_line *line, size_t texel, int share, int sum[3]) {
    const int32_t weight = line->reader->fine.weight[texel];
    if (weight <= 0) return;
    /* Half of a weight counts in full. */
    share = weight < 65536 / 2 ? share * (weight >> 8) >> 7 : share;
    const uint32_t colour = colour_at(line->reader, texel);
    for (size_t c = 0; c < 3; c++)
        sum[c] += share * (int)(2 * (colour >> (8 * c) & 0xff)) -
                  share * between(line->above.mean, line->below.mean, 3 * texel + c, line->down);
}

static void mix_block(const tx_line *line, size_t begin, size_t end) {
    const tx_row *above = &line->above, *below = &line->below;
    for (size_t x = begin; x < end; x++) {
        int sum[3];
        for (size_t c = 0; c < 3; c++)
            sum[c] = ONE * between(above->base, below->base, 3 * x + c, line->down) + ONE;
        const int own = between(above->own, below->own, x, line->down);
        const int mirrored = between(above->mirrored, below->mirrored, x, line->down);
        if (own) add_detail(line, x, own, sum);
        if (mirrored) add_detail(line, line->reader->side - 1 - x, mirrored, sum);
        for (size_t c = 0; c < 3; c++) {
            const int value = sum[c] >> (FRACTION + 1);
            line->out[3 * x + c] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
        }
    }
}

/* Rows of a grid around a row of texels, and how far from the first to the second it lies. */
typedef struct {
    size_t above, below;
    float down;
} tx_pair;

static tx_pair pair_of(size_t texel, size_t count, size_t side) {
    const float at = ((float)texel + 0.5F) * (float)count / (float)side - 0.5F;
    tx_pair pair = {0, 0, 0};
    if (at <= 0) return pair;
    pair.above = (size_t)at;
    pair.below = pair.above + 1 < count ? pair.above + 1 : count - 1;
    pair.down = at - (float)pair.above;
    return pair;
}

/* Memory of a blend. */
typedef struct {
    uint16_t *rows;  /* two rows of the plan */
    int32_t *spots;  /* three rows of nodes + 2, three of side */
    tx_kind *kinds;  /* cells */
} tx_room;

static int get_room(tx_room *room, size_t nodes, size_t cells, size_t side) {
    room->rows = malloc(2 * TX_PLAN * side * sizeof *room->rows);
    room->spots = malloc(3 * (nodes + 2 + side) * sizeof *room->spots);
    room->kinds = malloc(cells * sizeof *room->kinds);
    return room->rows && room->spots && room->kinds;
}

static void free_room(tx_room *room) {
    free(room->rows);
    free(room->spots);
    free(room->kinds);
}

static tx_spots spots_in(int32_t *room, size_t count) {
    return (tx_spots){room, room + count, room + 2 * count};
}

int tx_blend(const float *trace, size_t nodes, const float *plan, size_t cells,
             const tx_photo *photo, size_t side, uint8_t *picture) {
    tx_room room;
    if (!get_room(&room, nodes, cells, side)) return free_room(&room), 0;
    const size_t block = side / cells;
    tx_reader reader = {photo, nodes, side, spots_in(room.spots, nodes + 2),
                        spots_in(room.spots + 3 * (nodes + 2), side)};
    tx_line line = {.reader = &reader};
    size_t last = cells; /* the pair of rows of the plan that was widened last */
    for (size_t y = 0; y < side; y++) {
        const tx_pair cell = pair_of(y, cells, side), node = pair_of(y, nodes, side);
        if (cell.above != last) {
            const float *const rows[2] = {plan + TX_PLAN * cells * cell.above,
                                          plan + TX_PLAN * cells * cell.below};
            uint16_t *const spare = room.rows + TX_PLAN * side * (cell.above % 2 ? 0 : 1);
            line.above = last < cells ? line.below : wide_row(room.rows, rows[0], cells, block);
            line.below = wide_row(spare, rows[1], cells, block);
            for (size_t k = 0; k < cells; k++) room.kinds[k] = kind_of(rows, k, cells);
            last = cell.above;
        }
        line.down = (unsigned)(ONE * cell.down + 0.5F);
        line.out = picture + 3 * side * y;
        set_coarse(&reader, trace + 3 * nodes * node.above, trace + 3 * nodes * node.below,
                   node.down);
        set_fine(&reader);
        for (size_t k = 0; k < cells; k++) {
            const size_t begin = k * block, end = begin + block;
            if (room.kinds[k] == FILL) fill_block(&line, begin, end);
            else if (room.kinds[k] == MIX || !copy_block(&line, begin, end))
                mix_block(&line, begin, end);
        }
    }
    free_room(&room);
    return 1;
}
