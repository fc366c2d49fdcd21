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
        if ((b[0] - a[0]) * (c[1] - a[1]) > (c[0] - a[0]) * (b[1] - a[1])) continue;
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

/* Colours are four lanes of 16 bits: red, green, blue, and one that is ignored or a share of ONE. */
typedef uint16_t tx_lanes __attribute__((vector_size(8)));
typedef int16_t tx_signed __attribute__((vector_size(8)));
typedef uint16_t tx_pair_lanes __attribute__((vector_size(16)));
typedef int16_t tx_wide __attribute__((vector_size(16)));
typedef uint8_t tx_bytes __attribute__((vector_size(8)));
typedef uint8_t tx_few __attribute__((vector_size(4)));
typedef float tx_floats __attribute__((vector_size(16)));
typedef int32_t tx_quad __attribute__((vector_size(16)));

enum { FRACTION = 7, ONE = 1 << FRACTION, WHOLE = 1 << 16, HALF_WEIGHT = WHOLE / 2 };

/* Two pixels side by side, three lanes each; the last two lanes are of no use. */
static inline tx_pair_lanes two_pixels(const uint8_t *at) {
    tx_bytes bytes;
    memcpy(&bytes, at, sizeof bytes);
    return __builtin_convertvector(bytes, tx_pair_lanes);
}

/* Weights of two pixels side by side for each fraction between them. */
static tx_pair_lanes across[ONE];

void tx_prepare(void) {
    for (uint16_t x = 0; x < ONE; x++) {
        const uint16_t l = (uint16_t)(ONE - x);
        across[x] = (tx_pair_lanes){l, l, l, x, x, x, 0, 0};
    }
}

/* Bilinear sample between the pixel at ``at`` and its neighbours, ``x`` and ``y`` of ONE further. */
static inline tx_lanes sample(const uint8_t *at, size_t stride, unsigned x, unsigned y) {
    const tx_pair_lanes top = two_pixels(at), apart = two_pixels(at + stride) - top;
    const tx_pair_lanes column = top + (tx_pair_lanes)((tx_wide)(apart * (uint16_t)y) >> FRACTION);
    const tx_pair_lanes both = column * across[x];
    uint64_t half[2];
    memcpy(half, &both, sizeof half);
    half[0] += half[0] >> 48 | half[1] << 16;
    tx_lanes sum;
    memcpy(&sum, half, sizeof sum);
    return sum >> FRACTION;
}

static inline void store(uint8_t *out, tx_lanes colour) {
    const tx_few bytes = __builtin_convertvector(colour, tx_few);
    memcpy(out, &bytes, 3);
}

/* What a row of texels shows: points of the photo, 16.16 pixels, and weights, 16.16. */
typedef struct {
    int32_t *x, *y, *weight;
} tx_spots;

typedef struct {
    const tx_photo *photo;
    size_t nodes, side;
    tx_spots coarse; /* nodes + 2: the trace at the row, its ends twice */
    tx_spots fine;   /* side, and room for a piece */
} tx_reader;

/* Interpolate the trace between two of its rows, ``down`` from the first. */
static void set_coarse(tx_reader *reader, const float *above, const float *below, float down) {
    const float width = WHOLE * (float)reader->photo->width;
    const float height = WHOLE * (float)reader->photo->height;
    int32_t *x = reader->coarse.x, *y = reader->coarse.y, *weight = reader->coarse.weight;
    const size_t nodes = reader->nodes;
    for (size_t k = 1; k <= nodes; k++, above += 3, below += 3) {
        x[k] = (int32_t)(width * (above[0] + down * (below[0] - above[0]))) - HALF_WEIGHT;
        y[k] = (int32_t)(height * (above[1] + down * (below[1] - above[1]))) - HALF_WEIGHT;
        weight[k] = (int32_t)(WHOLE * (above[2] + down * (below[2] - above[2])));
    }
    x[0] = x[1], y[0] = y[1], weight[0] = weight[1];
    x[nodes + 1] = x[nodes], y[nodes + 1] = y[nodes], weight[nodes + 1] = weight[nodes];
}

/* Interpolate along a piece of the row, between two nodes. */
static inline void set_piece(const int32_t *ends, int32_t step, int32_t *out) {
    const int32_t slope = (ends[1] - ends[0]) / step;
    /* The first texel's centre lies half a texel after that of the node, or on it. */
    int32_t value = ends[0] + (step % 2 ? slope : slope / 2);
    if (step % 4) {
        for (int32_t k = 0; k < step; k++) out[k] = value + k * slope;
        return;
    }
    tx_quad four = {value, value + slope, value + 2 * slope, value + 3 * slope};
    for (int32_t k = 0; k < step; k += 4, four += 4 * slope) memcpy(out + k, &four, sizeof four);
}

static inline void set_pieces(tx_reader *reader, int32_t step) {
    const tx_spots *in = &reader->coarse, *out = &reader->fine;
    for (size_t piece = 0; piece <= reader->nodes; piece++) {
        /* The room before and after the row takes the halves of pieces at its ends. */
        const ptrdiff_t start = (ptrdiff_t)piece * step - step / 2;
        set_piece(in->weight + piece, step, out->weight + start);
        if (in->weight[piece] <= 0 && in->weight[piece + 1] <= 0) continue;
        set_piece(in->x + piece, step, out->x + start);
        set_piece(in->y + piece, step, out->y + start);
    }
}

static void set_fine(tx_reader *reader) {
    switch (reader->side / reader->nodes) {
    case 2: set_pieces(reader, 2); break;
    case 4: set_pieces(reader, 4); break;
    case 8: set_pieces(reader, 8); break;
    default: set_pieces(reader, (int32_t)(reader->side / reader->nodes));
    }
}

static inline int32_t within(int32_t value, int32_t limit) {
    return value < 0 ? 0 : value > limit ? limit : value;
}

static inline tx_lanes colour_at(const tx_reader *reader, size_t texel) {
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

/* A row of the plan at the columns of the atlas, in halves: base and own share, mean and mirrored
   share. */
typedef struct {
    tx_lanes *base, *mean; /* side */
} tx_row;

static void widen(tx_lanes *out, const float *plan, size_t cells, size_t block) {
    const tx_floats scale = {2, 2, 2, 2 * ONE};
    for (size_t cell = 0; cell <= cells; cell++) {
        tx_floats a, b;
        memcpy(&a, plan + TX_PLAN * (cell ? cell - 1 : 0), sizeof a);
        memcpy(&b, plan + TX_PLAN * (cell < cells ? cell : cells - 1), sizeof b);
        const tx_floats step = (b - a) * scale / (float)block;
        const size_t half = block / 2, begin = cell ? cell * block - half : 0;
        const size_t end = cell < cells ? cell * block + block - half : cells * block;
        tx_floats value = a * scale + step * (block % 2 ? 1.0F : 0.5F) + 0.5F;
        for (size_t x = begin; x < end; x++, value += step)
            out[x] = __builtin_convertvector(__builtin_convertvector(value, tx_quad), tx_lanes);
    }
}

/* The plan at the atlas' columns; of its rows the two last used are kept. */
typedef struct {
    const float *plan;
    size_t cells, side;
    tx_lanes *room;  /* two rows of 2 x side */
    size_t held[2];  /* the rows in it, counted from 1 */
} tx_wide_plan;

static tx_row wide_row(tx_wide_plan *wide, size_t row) {
    const size_t slot = row % 2;
    tx_lanes *const room = wide->room + 2 * wide->side * slot;
    const tx_row out = {room, room + wide->side};
    if (wide->held[slot] != row + 1) {
        const float *plan = wide->plan + TX_PLAN * wide->cells * row;
        widen(out.base, plan, wide->cells, wide->side / wide->cells);
        widen(out.mean, plan + TX_PLAN / 2, wide->cells, wide->side / wide->cells);
        wide->held[slot] = row + 1;
    }
    return out;
}

/* What the cells around a block of texels say of it: no photo, the photo alone, or both. */
typedef enum { FILL, COPY, MIX } tx_kind;

static tx_kind kind_of(const float *const rows[2], size_t cell, size_t cells) {
    const size_t begin = cell ? cell - 1 : 0, end = cell + 2 < cells ? cell + 2 : cells;
    int fill = 1, copy = 1;
    for (int r = 0; r < 2; r++) {
        for (size_t k = begin; k < end; k++) {
            const float *at = rows[r] + TX_PLAN * k;
            fill = fill && !(at[TX_OWN] > 0) && !(at[TX_MIRRORED] > 0);
            copy = copy && at[TX_OWN] >= 1;
        }
    }
    return copy ? COPY : fill ? FILL : MIX;
}

/* ---- atlas */

typedef struct {
    const tx_reader *reader;
    tx_row above, below;
    uint16_t down; /* how far below the row is, of ONE */
    uint8_t *out;
} tx_line;

static inline tx_lanes between(tx_lanes above, tx_lanes below, uint16_t down) {
    return (above * (uint16_t)(ONE - down) + below * down + ONE) >> (FRACTION + 1);
}

static void fill_block(const tx_line *line, size_t begin, size_t end) {
    for (size_t x = begin; x < end; x++)
        store(line->out + 3 * x, between(line->above.base[x], line->below.base[x], line->down));
}

/* Fails where the photo does not count in full. */
static int copy_block(const tx_line *line, size_t begin, size_t end) {
    const int32_t *weight = line->reader->fine.weight;
    int32_t lowest = WHOLE;
    for (size_t x = begin; x < end; x++) lowest = weight[x] < lowest ? weight[x] : lowest;
    if (lowest < HALF_WEIGHT) return 0;
    for (size_t x = begin; x < end; x++) store(line->out + 3 * x, colour_at(line->reader, x));
    return 1;
}

/* A share, of ONE, of the photo's detail at a texel. */
static inline tx_signed detail(const tx_line *line, size_t texel, int share, tx_lanes mean) {
    const int32_t weight = line->reader->fine.weight[texel];
    /* Half of a weight counts in full. */
    share = weight < HALF_WEIGHT ? share * (weight >> 8) >> 7 : share;
    const tx_signed apart = (tx_signed)(colour_at(line->reader, texel) - mean);
    return apart * (int16_t)share;
}

static void mix_block(const tx_line *line, size_t begin, size_t end) {
    const int32_t *weight = line->reader->fine.weight;
    const tx_signed nothing = {0}, full = {255, 255, 255, 255};
    for (size_t x = begin; x < end; x++) {
        const size_t other = line->reader->side - 1 - x;
        const tx_lanes base = between(line->above.base[x], line->below.base[x], line->down);
        const tx_lanes mean = between(line->above.mean[x], line->below.mean[x], line->down);
        tx_signed sum = (tx_signed)base;
        if (base[3] && weight[x] > 0) sum += detail(line, x, base[3], mean) >> FRACTION;
        if (mean[3] && weight[other] > 0) {
            const tx_lanes there =
                between(line->above.mean[other], line->below.mean[other], line->down);
            sum += detail(line, other, mean[3], there) >> FRACTION;
        }
        sum = sum & (sum > nothing);
        const tx_signed over = sum > full;
        store(line->out + 3 * x, (tx_lanes)((sum & ~over) | (full & over)));
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
    tx_lanes *rows; /* two rows of the plan */
    int32_t *spots; /* three rows of nodes + 2, three of a side and a piece */
    tx_kind *kinds; /* cells */
} tx_room;

static int get_room(tx_room *room, size_t nodes, size_t cells, size_t side) {
    const size_t piece = side / nodes;
    room->rows = malloc(4 * side * sizeof *room->rows);
    room->spots = calloc(3 * (nodes + 2 + side + piece), sizeof *room->spots);
    room->kinds = malloc(cells * sizeof *room->kinds);
    return room->rows && room->spots && room->kinds;
}

static void free_room(tx_room *room) {
    free(room->rows);
    free(room->spots);
    free(room->kinds);
}

/* Three rows of ``count``, the first ``before`` of each ahead of its start. */
static tx_spots spots_in(int32_t *room, size_t count, size_t before) {
    room += before;
    return (tx_spots){room, room + count, room + 2 * count};
}

int tx_blend(const float *trace, size_t nodes, const float *plan, size_t cells,
             const tx_photo *photo, size_t side, uint8_t *picture) {
    tx_room room;
    if (!get_room(&room, nodes, cells, side)) return free_room(&room), 0;
    const size_t block = side / cells, piece = side / nodes;
    tx_reader reader = {photo, nodes, side, spots_in(room.spots, nodes + 2, 0),
                        spots_in(room.spots + 3 * (nodes + 2), side + piece, piece / 2)};
    tx_wide_plan wide = {plan, cells, side, room.rows, {0, 0}};
    tx_line line = {.reader = &reader};
    size_t known = cells; /* the lower of the rows whose kinds are known */
    for (size_t y = 0; y < side; y++) {
        const tx_pair cell = pair_of(y, cells, side), node = pair_of(y, nodes, side);
        line.above = wide_row(&wide, cell.above);
        line.below = wide_row(&wide, cell.below);
        if (known != cell.below) {
            const float *const rows[2] = {plan + TX_PLAN * cells * cell.above,
                                          plan + TX_PLAN * cells * cell.below};
            for (size_t k = 0; k < cells; k++) room.kinds[k] = kind_of(rows, k, cells);
            known = cell.below;
        }
        line.down = (uint16_t)(ONE * cell.down + 0.5F);
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
