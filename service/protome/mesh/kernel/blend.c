/* Colours of an atlas: those of the photo, added to the base that the picture already has. */

#include <stdlib.h>
#include <string.h>

#include "texture.h"
#include "wide.h"

/* ---- colours of the photo */

enum { FRACTION = 7, ONE = 1 << FRACTION, WHOLE = 1 << 16, HALF_WEIGHT = WHOLE / 2, COLOURS = 3 };

static inline int32_t within(int32_t value, int32_t limit) {
    return value < 0 ? 0 : value > limit ? limit : value;
}

/* A channel of a pixel. */
static inline int32_t channel(uint32_t pixel, int which) {
    return (int32_t)(pixel >> (8 * which) & 255);
}

/* Between two values, ``share`` of ONE from the first. */
static inline int32_t between(int32_t first, int32_t second, int32_t share) {
    return first + ((second - first) * share >> FRACTION);
}

/* Bilinear samples at points of the photo, 16.16 pixels. */
static inline void sample(const tx_photo *photo, const int32_t *x, const int32_t *y, size_t begin,
                          size_t end, int16_t *const colours[COLOURS]) {
    const int32_t stride = (int32_t)photo->width;
    const int32_t most_x = (int32_t)((photo->width - 1) << 16) - 1;
    const int32_t most_y = (int32_t)((photo->height - 1) << 16) - 1;
    const uint32_t *above = photo->pixels, *below = above + stride;
    int16_t *restrict red = colours[0], *restrict green = colours[1], *restrict blue = colours[2];
    for (size_t k = begin; k < end; k++) {
        const int32_t at_x = within(x[k], most_x), at_y = within(y[k], most_y);
        const int32_t right = at_x >> (16 - FRACTION) & (ONE - 1);
        const int32_t down = at_y >> (16 - FRACTION) & (ONE - 1);
        const int32_t at = (at_y >> 16) * stride + (at_x >> 16);
        const uint32_t a = above[at], b = above[at + 1], c = below[at], d = below[at + 1];
        int32_t colour[COLOURS];
        for (int i = 0; i < COLOURS; i++)
            colour[i] = between(between(channel(a, i), channel(b, i), right),
                                between(channel(c, i), channel(d, i), right), down);
        red[k] = (int16_t)colour[0], green[k] = (int16_t)colour[1], blue[k] = (int16_t)colour[2];
    }
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

/* Interpolate the needed nodes of the trace between two of its rows, ``down`` from the first. */
static WIDE void set_coarse(tx_reader *reader, const float *above, const float *below,
                              float down) {
    const float width = WHOLE * (float)reader->photo->width;
    const float height = WHOLE * (float)reader->photo->height;
    int32_t *x = reader->coarse.x, *y = reader->coarse.y, *weight = reader->coarse.weight;
    const size_t nodes = reader->nodes;
    for (size_t k = 1; k <= nodes; k++, above += 3, below += 3) {
        if (!reader->needed[k - 1] && !reader->needed[k]) continue;
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
    for (int32_t k = 0; k < step; k++, value += slope) out[k] = value;
}

static WIDE void set_fine(tx_reader *reader) {
    const tx_spots *in = &reader->coarse, *out = &reader->fine;
    const int32_t step = (int32_t)(reader->side / reader->nodes);
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

/* ---- sums */

WIDE int tx_gather(const float *trace, size_t nodes, const tx_photo *photo, size_t cells,
                   float *sums) {
    const size_t block = nodes / cells;
    const float width = WHOLE * (float)photo->width, height = WHOLE * (float)photo->height;
    const float share = 1 / (float)(block * block);
    int32_t *x = malloc(2 * nodes * sizeof *x), *y = x + nodes;
    int16_t *row = malloc(COLOURS * nodes * sizeof *row);
    int16_t *const colours[COLOURS] = {row, row + nodes, row + 2 * nodes};
    memset(sums, 0, 4 * cells * cells * sizeof *sums);
    for (size_t line = 0; x && row && line < nodes; line++, trace += 3 * nodes) {
        for (size_t k = 0; k < nodes; k++) {
            x[k] = (int32_t)(width * trace[3 * k]) - HALF_WEIGHT;
            y[k] = (int32_t)(height * trace[3 * k + 1]) - HALF_WEIGHT;
        }
        for (size_t cell = 0; cell < cells; cell++) {
            const size_t begin = cell * block, end = begin + block;
            float *out = sums + 4 * (cells * (line / block) + cell), any = 0;
            for (size_t k = begin; k < end; k++) any += trace[3 * k + 2];
            if (!(any > 0)) continue;
            sample(photo, x, y, begin, end, colours);
            for (size_t k = begin; k < end; k++) {
                const float weight = share * trace[3 * k + 2];
                for (int i = 0; i < COLOURS; i++) out[i] += weight * (float)colours[i][k];
                out[COLOURS] += weight;
            }
        }
    }
    const int done = x && row;
    free(x);
    free(row);
    return done;
}

/* ---- plan */

/* Channels of a plan's row: mean of the photo, share of its detail, of the mirrored detail. The
   first three are in halves, the shares in halves of ONE. */
typedef int16_t *tx_row[TX_PLAN];

static WIDE void widen(tx_row out, const float *plan, size_t cells, size_t block) {
    for (size_t cell = 0; cell <= cells; cell++) {
        const float *left = plan + TX_PLAN * (cell ? cell - 1 : 0);
        const float *right = plan + TX_PLAN * (cell < cells ? cell : cells - 1);
        const size_t half = block / 2, begin = cell ? cell * block - half : 0;
        const size_t end = cell < cells ? cell * block + block - half : cells * block;
        for (int i = 0; i < TX_PLAN; i++) {
            const float scale = i < TX_OWN ? 2 : 2 * ONE;
            const float step = scale * (right[i] - left[i]) / (float)block;
            const float first = scale * left[i] + step * (block % 2 ? 1 : 0.5F) + 0.5F;
            for (size_t x = begin; x < end; x++)
                out[i][x] = (int16_t)(int32_t)(first + step * (float)(int32_t)(x - begin));
        }
    }
}

/* The plan at the atlas' columns; of its rows the two last used are kept. */
typedef struct {
    const float *plan;
    size_t cells, side;
    tx_row room[2];
    size_t held[2]; /* the rows in it, counted from 1 */
} tx_wide_plan;

static int16_t *const *wide_row(tx_wide_plan *wide, size_t row) {
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

/* Rows of a side. */
typedef struct {
    const tx_reader *reader;
    int16_t *row[COLOURS];  /* the photo, then as far as it is detail */
    int16_t *plan[TX_PLAN]; /* shares are of ONE */
    uint8_t *out;           /* has the base */
} tx_line;

/* Interpolate a piece of two rows of the plan, ``down`` from the first, of ONE. */
static inline void set_plan(int16_t *restrict out, const int16_t *restrict above,
                            const int16_t *restrict below, int16_t down, size_t count) {
    for (size_t x = 0; x < count; x++)
        out[x] = (int16_t)((above[x] * (ONE - down) + below[x] * down + ONE) >> (FRACTION + 1));
}

/* Turn the photo's colours into what they differ from the mean by, as far as they count. */
static inline void set_detail(int16_t *restrict row, const int16_t *restrict mean,
                              const int32_t *restrict weight, size_t count) {
    for (size_t x = 0; x < count; x++) {
        /* Half of a weight counts in full. */
        const int16_t share = (int16_t)within(weight[x] >> (15 - FRACTION), ONE);
        row[x] = (int16_t)((int16_t)((row[x] - mean[x]) * share) >> FRACTION);
    }
}

/* Add shares of the own detail and of the mirrored place's, whose first texel is ``other``. */
static inline void add_detail(int16_t *restrict sum, const int16_t *restrict row,
                              const int16_t *restrict other, const int16_t *restrict own,
                              const int16_t *restrict mirrored, size_t count) {
    for (size_t x = 0; x < count; x++)
        sum[x] = (int16_t)(((int16_t)(row[x] * own[x]) >> FRACTION) +
                           ((int16_t)(other[-(ptrdiff_t)x] * mirrored[x]) >> FRACTION));
}

static inline void copy_block(const tx_line *line, size_t begin, size_t end) {
    const int16_t *restrict red = line->row[0], *restrict green = line->row[1];
    const int16_t *restrict blue = line->row[2];
    uint8_t *restrict out = line->out;
    for (size_t x = begin; x < end; x++) {
        out[3 * x] = (uint8_t)red[x];
        out[3 * x + 1] = (uint8_t)green[x];
        out[3 * x + 2] = (uint8_t)blue[x];
    }
}

/* Texels that are mixed at a time. */
enum { AT_A_TIME = 64 };

static WIDE void mix_block(const tx_line *line, size_t begin, size_t end) {
    int16_t sums[COLOURS][AT_A_TIME];
    for (; begin < end; begin += AT_A_TIME) {
        const size_t count = end - begin < AT_A_TIME ? end - begin : AT_A_TIME;
        for (int i = 0; i < COLOURS; i++)
            add_detail(sums[i], line->row[i] + begin, line->row[i] + line->reader->side - 1 - begin,
                       line->plan[TX_OWN] + begin, line->plan[TX_MIRRORED] + begin, count);
        uint8_t *restrict out = line->out + 3 * begin;
        for (size_t x = 0; x < count; x++)
            for (size_t i = 0; i < COLOURS; i++)
                out[3 * x + i] = (uint8_t)within(out[3 * x + i] + sums[i][x], 255);
    }
}

/* Least and largest weight of a block. */
static inline void range_of(const int32_t *weight, size_t begin, size_t end, int32_t range[2]) {
    range[0] = range[1] = weight[begin];
    for (size_t x = begin + 1; x < end; x++) {
        range[0] = weight[x] < range[0] ? weight[x] : range[0];
        range[1] = weight[x] > range[1] ? weight[x] : range[1];
    }
}

/* Paint a row of blocks, ``down`` from a row of the plan to the next. What is left to do of each
   is noted in ``left``. */
static WIDE void paint_row(const tx_line *line, int16_t *const *above, int16_t *const *below,
                           int16_t down, const tx_kind *kinds, tx_kind *left, size_t cells) {
    const tx_reader *reader = line->reader;
    const size_t block = reader->side / cells;
    for (size_t k = 0; k < cells; k++) {
        const size_t begin = k * block, end = begin + block;
        left[k] = kinds[k];
        if (kinds[k] == FILL && kinds[cells - 1 - k] == FILL) continue;
        for (int i = 0; i < TX_PLAN; i++)
            set_plan(line->plan[i] + begin, above[i] + begin, below[i] + begin, down, block);
        int32_t range[2];
        range_of(reader->fine.weight, begin, end, range);
        if (range[1] <= 0) {
            for (int i = 0; i < COLOURS; i++) memset(line->row[i] + begin, 0, block * sizeof(int16_t));
            continue;
        }
        sample(reader->photo, reader->fine.x, reader->fine.y, begin, end, line->row);
        if (kinds[k] == COPY && range[0] >= HALF_WEIGHT) {
            copy_block(line, begin, end);
            left[k] = FILL;
            if (kinds[cells - 1 - k] != MIX) continue;
        }
        for (int i = 0; i < COLOURS; i++)
            set_detail(line->row[i] + begin, line->plan[i] + begin, reader->fine.weight + begin,
                       block);
    }
    for (size_t k = 0; k < cells; k++)
        if (left[k] != FILL) mix_block(line, k * block, (k + 1) * block);
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
    int16_t *rows;   /* of a side: three of the plan, one of the photo */
    int32_t *spots;  /* three rows of nodes + 2, three of a side and a piece */
    tx_kind *kinds;  /* two rows of cells */
    uint8_t *needed; /* nodes + 1 */
} tx_room;

static int get_room(tx_room *room, size_t nodes, size_t cells, size_t side) {
    const size_t piece = side / nodes;
    room->rows = malloc((3 * TX_PLAN + COLOURS) * side * sizeof *room->rows);
    room->spots = calloc(3 * (nodes + 2 + side + piece), sizeof *room->spots);
    room->kinds = malloc(2 * cells * sizeof *room->kinds);
    room->needed = malloc(nodes + 1);
    return room->rows && room->spots && room->kinds && room->needed;
}

static void free_room(tx_room *room) {
    free(room->rows);
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
    const size_t piece = side / nodes;
    tx_reader reader = {photo, nodes, side, spots_in(room.spots, nodes + 2, 0),
                        spots_in(room.spots + 3 * (nodes + 2), side + piece, piece / 2),
                        room.needed};
    tx_wide_plan wide = {.plan = plan, .cells = cells, .side = side};
    tx_line line = {.reader = &reader};
    int16_t *row = room.rows;
    for (size_t k = 0; k < TX_PLAN; k++, row += 3 * side) {
        wide.room[0][k] = row, wide.room[1][k] = row + side;
        line.plan[k] = row + 2 * side;
    }
    for (size_t k = 0; k < COLOURS; k++, row += side) line.row[k] = row;
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
        line.out = picture + 3 * side * y;
        set_coarse(&reader, trace + 3 * nodes * node.above, trace + 3 * nodes * node.below,
                   node.down);
        set_fine(&reader);
        int16_t *const *above = wide_row(&wide, cell.above), *const *below = wide_row(&wide, cell.below);
        paint_row(&line, above, below, (int16_t)(ONE * cell.down + 0.5F), room.kinds,
                  room.kinds + cells, cells);
    }
    free_room(&room);
    return 1;
}
