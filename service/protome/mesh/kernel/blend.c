/* Colours of an atlas: those of the photo, added to the base that the picture already has. */

#include <stdlib.h>
#include <string.h>

#include "texture.h"

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
    tx_spots coarse;  /* nodes + 2: the trace at the row, its ends twice */
    tx_spots fine;    /* side, and room for a piece */
    uint8_t *needed;  /* nodes + 1: which pieces between nodes are read */
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
        if (!reader->needed[piece]) continue;
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

static inline tx_lanes colour_at(const tx_photo *photo, int32_t at_x, int32_t at_y) {
    /* Eight bytes are read of each row of pixels: not from its last two. */
    const int32_t most_x = (int32_t)((photo->width - 2) << 16) - 1;
    const int32_t most_y = (int32_t)((photo->height - 1) << 16) - 1;
    const uint32_t x = (uint32_t)within(at_x, most_x), y = (uint32_t)within(at_y, most_y);
    const size_t stride = 3 * photo->width;
    return sample(photo->pixels + (y >> 16) * stride + 3 * (size_t)(x >> 16), stride,
                  x >> (16 - FRACTION) & (ONE - 1), y >> (16 - FRACTION) & (ONE - 1));
}

/* ---- sums */

void tx_gather(const float *trace, size_t nodes, const tx_photo *photo, size_t cells,
               float *sums) {
    const size_t block = nodes / cells;
    const float width = WHOLE * (float)photo->width, height = WHOLE * (float)photo->height;
    const float share = 1 / (float)(block * block);
    memset(sums, 0, 4 * cells * cells * sizeof *sums);
    for (size_t y = 0; y < nodes; y++) {
        for (size_t x = 0; x < nodes; x++, trace += 3) {
            if (!(trace[2] > 0)) continue;
            const tx_lanes colour = colour_at(photo, (int32_t)(width * trace[0]) - HALF_WEIGHT,
                                              (int32_t)(height * trace[1]) - HALF_WEIGHT);
            const float weight = share * trace[2];
            float *out = sums + 4 * (cells * (y / block) + x / block);
            for (int k = 0; k < 3; k++) out[k] += weight * (float)colour[k];
            out[3] += weight;
        }
    }
}

/* ---- plan */

/* A row of the plan at the columns of the atlas, in halves: mean and own share, mirrored share. */
typedef struct {
    tx_lanes *mean;     /* side */
    uint16_t *mirrored; /* side */
} tx_row;

static void widen(tx_row out, const float *plan, size_t cells, size_t block) {
    const tx_floats scale = {2, 2, 2, 2 * ONE};
    for (size_t cell = 0; cell <= cells; cell++) {
        const float *left = plan + TX_PLAN * (cell ? cell - 1 : 0);
        const float *right = plan + TX_PLAN * (cell < cells ? cell : cells - 1);
        tx_floats a, b;
        memcpy(&a, left, sizeof a);
        memcpy(&b, right, sizeof b);
        const float shift = block % 2 ? 1.0F : 0.5F;
        const tx_floats step = (b - a) * scale / (float)block;
        const size_t half = block / 2, begin = cell ? cell * block - half : 0;
        const size_t end = cell < cells ? cell * block + block - half : cells * block;
        tx_floats value = a * scale + step * shift + 0.5F;
        for (size_t x = begin; x < end; x++, value += step)
            out.mean[x] = __builtin_convertvector(__builtin_convertvector(value, tx_quad), tx_lanes);
        const float rise = 2 * ONE * (right[TX_MIRRORED] - left[TX_MIRRORED]) / (float)block;
        float other = 2 * ONE * left[TX_MIRRORED] + rise * shift + 0.5F;
        for (size_t x = begin; x < end; x++, other += rise) out.mirrored[x] = (uint16_t)other;
    }
}

/* The plan at the atlas' columns; of its rows the two last used are kept. */
typedef struct {
    const float *plan;
    size_t cells, side;
    tx_row room[2];
    size_t held[2]; /* the rows in it, counted from 1 */
} tx_wide_plan;

static tx_row wide_row(tx_wide_plan *wide, size_t row) {
    const size_t slot = row % 2;
    if (wide->held[slot] != row + 1) {
        widen(wide->room[slot], wide->plan + TX_PLAN * wide->cells * row, wide->cells,
              wide->side / wide->cells);
        wide->held[slot] = row + 1;
    }
    return wide->room[slot];
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
    uint8_t *out;  /* has the base */
} tx_line;

static inline tx_lanes mean_at(const tx_line *line, size_t x) {
    return (line->above.mean[x] * (uint16_t)(ONE - line->down) + line->below.mean[x] * line->down +
            ONE) >> (FRACTION + 1);
}

static inline int mirrored_at(const tx_line *line, size_t x) {
    return (line->above.mirrored[x] * (ONE - line->down) + line->below.mirrored[x] * line->down +
            ONE) >> (FRACTION + 1);
}

static inline tx_lanes texel(const tx_reader *reader, size_t x) {
    return colour_at(reader->photo, reader->fine.x[x], reader->fine.y[x]);
}

/* Fails where the photo does not count in full. */
static int copy_block(const tx_line *line, size_t begin, size_t end) {
    const int32_t *weight = line->reader->fine.weight;
    int32_t lowest = WHOLE;
    for (size_t x = begin; x < end; x++) lowest = weight[x] < lowest ? weight[x] : lowest;
    if (lowest < HALF_WEIGHT) return 0;
    for (size_t x = begin; x < end; x++) store(line->out + 3 * x, texel(line->reader, x));
    return 1;
}

/* A share, of ONE, of the photo's detail at a texel. */
static inline tx_signed detail(const tx_line *line, size_t x, int share, tx_lanes mean) {
    const int32_t weight = line->reader->fine.weight[x];
    /* Half of a weight counts in full. */
    share = weight < HALF_WEIGHT ? share * (weight >> 8) >> 7 : share;
    const tx_signed apart = (tx_signed)(texel(line->reader, x) - mean);
    return (apart * (int16_t)share) >> FRACTION;
}

static void mix_block(const tx_line *line, size_t begin, size_t end) {
    const int32_t *weight = line->reader->fine.weight;
    const tx_signed nothing = {0}, full = {255, 255, 255, 255};
    for (size_t x = begin; x < end; x++) {
        const size_t other = line->reader->side - 1 - x;
        const int mirrored = weight[other] > 0 ? mirrored_at(line, x) : 0;
        const tx_lanes mean = mean_at(line, x);
        const int own = weight[x] > 0 ? mean[3] : 0;
        if (!own && !mirrored) continue;
        uint8_t *out = line->out + 3 * x;
        tx_signed sum = {out[0], out[1], out[2], 0};
        if (own) sum += detail(line, x, own, mean);
        if (mirrored) sum += detail(line, other, mirrored, mean_at(line, other));
        sum = sum & (sum > nothing);
        const tx_signed over = sum > full;
        store(out, (tx_lanes)((sum & ~over) | (full & over)));
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
    tx_lanes *means;    /* two rows of the plan */
    uint16_t *mirrored; /* likewise */
    int32_t *spots;     /* three rows of nodes + 2, three of a side and a piece */
    tx_kind *kinds;     /* cells */
    uint8_t *needed;    /* nodes + 1 */
} tx_room;

static int get_room(tx_room *room, size_t nodes, size_t cells, size_t side) {
    const size_t piece = side / nodes;
    room->means = malloc(2 * side * sizeof *room->means);
    room->mirrored = malloc(2 * side * sizeof *room->mirrored);
    room->spots = calloc(3 * (nodes + 2 + side + piece), sizeof *room->spots);
    room->kinds = malloc(cells * sizeof *room->kinds);
    room->needed = malloc(nodes + 1);
    return room->means && room->mirrored && room->spots && room->kinds && room->needed;
}

static void free_room(tx_room *room) {
    free(room->means);
    free(room->mirrored);
    free(room->spots);
    free(room->kinds);
    free(room->needed);
}

/* Three rows of ``count``, the first ``before`` of each ahead of its start. */
static tx_spots spots_in(int32_t *room, size_t count, size_t before) {
    room += before;
    return (tx_spots){room, room + count, room + 2 * count};
}

/* Set the kinds of a row of cells and the pieces it needs. Returns whether it needs any. */
static int set_kinds(tx_room *room, const float *const rows[2], size_t cells, size_t nodes) {
    int any = 0;
    for (size_t k = 0; k < cells; k++) room->kinds[k] = kind_of(rows, k, cells);
    for (size_t piece = 0; piece <= nodes; piece++) {
        room->needed[piece] = 0;
        for (size_t node = piece ? piece - 1 : 0; node <= piece && node < nodes; node++) {
            const size_t cell = node * cells / nodes;
            if (room->kinds[cell] != FILL || room->kinds[cells - 1 - cell] != FILL)
                any = room->needed[piece] = 1;
        }
    }
    return any;
}

int tx_blend(const float *trace, size_t nodes, const float *plan, size_t cells,
             const tx_photo *photo, size_t side, uint8_t *picture) {
    tx_room room;
    if (!get_room(&room, nodes, cells, side)) return free_room(&room), 0;
    const size_t block = side / cells, piece = side / nodes;
    tx_reader reader = {photo, nodes, side, spots_in(room.spots, nodes + 2, 0),
                        spots_in(room.spots + 3 * (nodes + 2), side + piece, piece / 2),
                        room.needed};
    tx_wide_plan wide = {plan, cells, side,
                         {{room.means, room.mirrored}, {room.means + side, room.mirrored + side}},
                         {0, 0}};
    tx_line line = {.reader = &reader};
    size_t known = cells; /* the lower of the rows whose kinds are known */
    int any = 0;
    for (size_t y = 0; y < side; y++) {
        const tx_pair cell = pair_of(y, cells, side), node = pair_of(y, nodes, side);
        if (known != cell.below) {
            const float *const rows[2] = {plan + TX_PLAN * cells * cell.above,
                                          plan + TX_PLAN * cells * cell.below};
            any = set_kinds(&room, rows, cells, nodes);
            known = cell.below;
        }
        if (!any) continue;
        line.above = wide_row(&wide, cell.above);
        line.below = wide_row(&wide, cell.below);
        line.down = (uint16_t)(ONE * cell.down + 0.5F);
        line.out = picture + 3 * side * y;
        set_coarse(&reader, trace + 3 * nodes * node.above, trace + 3 * nodes * node.below,
                   node.down);
        set_fine(&reader);
        for (size_t k = 0; k < cells; k++) {
            const size_t begin = k * block, end = begin + block;
            if (room.kinds[k] == MIX || (room.kinds[k] == COPY && !copy_block(&line, begin, end)))
                mix_block(&line, begin, end);
        }
    }
    free_room(&room);
    return 1;
}
