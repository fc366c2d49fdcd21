/* Colours of an atlas: those of the plan, with the photo's detail.

   Rows are painted from run to run: blocks of texels side by side of which the same is to be done.
   Between two rows of nodes, and of cells, the runs are the same. */

#include <stdlib.h>
#include <string.h>

#include "photo.h"
#include "../wide.h"

/* ---- trace */

enum { X, Y, WEIGHT, SPOT };

/* The trace between two rows of nodes: at its first row, and what is added from row to row. */
typedef struct {
    int32_t *coarse[2][SPOT]; /* nodes + 2: with the ends twice */
    int32_t *fine[2][SPOT];   /* side, and room for a piece */
} tx_band;

enum { FIRST, SLOPE };

/* Half a texel, or none: how far the first texel's centre lies after a node's. */
static inline float start_of(size_t step) { return step % 2 ? 1 : 0.5F; }

static inline float limited(float value) {
    const float most = 1 << 29; /* the difference of two can be held */
    return value < -most ? -most : value > most ? most : value;
}

/* Two rows of nodes; spots are scaled to 16.16 pixels. */
typedef struct {
    const float *above, *below;
    float scale[SPOT];
    size_t nodes, step;
} tx_rows;

static WIDE void set_coarse(const tx_band *band, const tx_rows *rows, size_t begin, size_t end) {
    const float share = 1 / (float)rows->step, start = start_of(rows->step);
    const size_t nodes = rows->nodes;
    for (size_t i = 0; i < SPOT; i++) {
        int32_t *restrict first = band->coarse[FIRST][i], *restrict slope = band->coarse[SLOPE][i];
        const float *above = rows->above + i, *below = rows->below + i, scale = rows->scale[i];
        const float centre = i < WEIGHT ? -HALF_WHOLE : 0;
        for (size_t k = begin; k < end; k++) {
            const float from = limited(scale * above[3 * k] + centre);
            const float to = limited(scale * below[3 * k] + centre);
            const float rise = share * (to - from);
            first[k + 1] = (int32_t)(from + start * rise);
            slope[k + 1] = (int32_t)rise;
        }
        if (begin == 0) first[0] = first[1], slope[0] = slope[1];
        if (end == nodes) first[nodes + 1] = first[nodes], slope[nodes + 1] = slope[nodes];
    }
}

/* Interpolate along pieces of the row, each between two nodes. */
static inline void set_pieces(const int32_t *restrict ends, size_t count, int32_t step,
                              int32_t *restrict out) {
    for (size_t piece = 0; piece < count; piece++, out += step) {
        const int32_t slope = (ends[piece + 1] - ends[piece]) / step;
        const int32_t first = ends[piece] + (step % 2 ? slope : slope / 2);
        for (int32_t k = 0; k < step; k++) out[k] = first + k * slope;
    }
}

static WIDE void set_fine(const tx_band *band, int which, size_t begin, size_t count, size_t step) {
    for (int rate = FIRST; rate <= SLOPE; rate++) {
        const int32_t *in = band->coarse[rate][which] + begin;
        /* The room before and after the row takes the halves of pieces at its ends. */
        int32_t *out = band->fine[rate][which] + (ptrdiff_t)(begin * step) - (ptrdiff_t)(step / 2);
        if (step == 2) set_pieces(in, count, 2, out);
        else if (step == 4) set_pieces(in, count, 4, out);
        else set_pieces(in, count, (int32_t)step, out);
    }
}

/* ---- plan */

/* Channels of the plan's row at the atlas' columns: colours in halves, shares in halves of ONE. */
typedef uint16_t *tx_row[TX_PLAN];

static WIDE void widen(tx_row out, const float *plan, size_t cells, size_t block) {
    for (size_t cell = 0; cell <= cells; cell++) {
        const float *left = plan + TX_PLAN * (cell ? cell - 1 : 0);
        const float *right = plan + TX_PLAN * (cell < cells ? cell : cells - 1);
        const size_t half = block / 2, begin = cell ? cell * block - half : 0;
        const size_t end = cell < cells ? cell * block + block - half : cells * block;
        for (int i = 0; i < TX_PLAN; i++) {
            const float scale = i < TX_OWN ? 2 : 2 * ONE;
            const float step = scale * (right[i] - left[i]) / (float)block;
            const float first = scale * left[i] + step * start_of(block) + 0.5F;
            for (size_t x = begin; x < end; x++)
                out[i][x] = (uint16_t)(int32_t)(first + step * (float)(int32_t)(x - begin));
        }
    }
}

/* The plan at the atlas' columns; of its rows the two last used are kept. */
typedef struct {
    const float *plan;
    size_t cells, block;
    tx_row room[2];
    size_t held[2]; /* the rows in it, counted from 1 */
} tx_wide_plan;

static uint16_t *const *wide_row(tx_wide_plan *wide, size_t row) {
    const size_t slot = row % 2;
    if (wide->held[slot] != row + 1) {
        widen(wide->room[slot], wide->plan + TX_PLAN * wide->cells * row, wide->cells,
              wide->block);
        wide->held[slot] = row + 1;
    }
    return wide->room[slot];
}

/* ---- runs */

/* What the cells around a block of texels say of it: no photo, the photo alone, or both. */
enum { FILL, COPY, MIX, KIND = 3 };
/* What has to be done with the block of the photo besides: read it, find its detail, weigh it. */
enum { READ = 4, DETAIL = 8, WEIGH = 16 };

static uint8_t kind_of(const float *const rows[2], size_t cell, size_t cells) {
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

/* Least and largest weight of the nodes around each block. */
static void set_range(const float *row, size_t cells, size_t nodes, float *range) {
    const size_t block = nodes / cells;
    for (size_t cell = 0; cell < cells; cell++, range += 2) {
        const size_t begin = cell * block, end = begin + block;
        float low = 1, high = 0;
        for (size_t k = begin ? begin - 1 : 0; k <= end && k < nodes; k++) {
            const float weight = row[3 * k + WEIGHT];
            low = weight < low ? weight : low;
            high = weight > high ? weight : high;
        }
        range[0] = low, range[1] = high;
    }
}

/* Whether blocks between two rows of nodes show the photo, and so well that all counts. */
static void set_shown(const float *above, const float *below, size_t cells, uint8_t *shown) {
    for (size_t k = 0; k < cells; k++, above += 2, below += 2) {
        const int none = !(above[1] > 0) && !(below[1] > 0);
        shown[k] = none ? 0 : above[0] >= 0.5F && below[0] >= 0.5F ? READ : READ | WEIGH;
    }
}

/* Complete what is to be done with each block, from its kind and how well it is shown. */
static void set_tasks(const uint8_t *kinds, const uint8_t *shown, size_t cells, uint8_t *tasks) {
    for (size_t k = 0; k < cells; k++) {
        const uint8_t kind = kinds[k], any = (shown[k] | shown[cells - 1 - k]) & READ;
        const int copied = kind == COPY && shown[k] == READ;
        tasks[k] = copied ? COPY : kind != FILL && any ? MIX : FILL;
    }
    for (size_t k = 0; k < cells; k++) {
        const size_t other = cells - 1 - k;
        const int detail = (tasks[k] & KIND) == MIX || (tasks[other] & KIND) == MIX;
        if (detail) tasks[k] |= DETAIL;
        if (detail || (tasks[k] & KIND) == COPY) tasks[k] |= shown[k];
    }
}

/* ---- atlas */

/* A row that is painted. */
typedef struct {
    const tx_photo *photo;
    tx_band band;
    size_t side;
    int32_t *spot[SPOT];             /* what it shows of the photo */
    int16_t *detail[COLOURS];        /* of the photo, as far as it counts */
    int16_t *share[2];               /* own and mirrored, of ONE */
    uint16_t *const *above, *const *below; /* the plan */
    uint16_t down;                   /* from the one to the other, of ONE */
    uint32_t *pixels;                /* red is the lowest byte */
} tx_line;

/* A channel of the plan at the row: of two rows in halves. */
static inline int16_t planned(const uint16_t *above, const uint16_t *below, uint16_t down,
                              size_t x) {
    const uint16_t first = (uint16_t)(above[x] * (uint16_t)(ONE - down));
    const uint16_t second = (uint16_t)(below[x] * down);
    return (int16_t)((uint16_t)(first + second + ONE) >> (FRACTION + 1));
}

/* Read the photo, ``rows`` below the band's first row. */
static WIDE void read_run(const tx_line *line, size_t begin, size_t end, int32_t rows,
                          int weighed) {
    for (int i = 0; i < (weighed ? SPOT : WEIGHT); i++) {
        const int32_t *restrict first = line->band.fine[FIRST][i];
        const int32_t *restrict slope = line->band.fine[SLOPE][i];
        int32_t *restrict out = line->spot[i];
        for (size_t x = begin; x < end; x++) out[x] = first[x] + rows * slope[x];
    }
    sample(line->photo, line->spot[X] + begin, line->spot[Y] + begin, end - begin,
           line->pixels + begin);
}

/* Set the detail: what the photo's colours differ from its mean by, as far as they count. */
static WIDE void set_detail(const tx_line *line, size_t begin, size_t end, int weighed) {
    const uint32_t *restrict pixels = line->pixels;
    const int32_t *restrict weight = line->spot[WEIGHT];
    for (int i = 0; i < COLOURS; i++) {
        const uint16_t *restrict above = line->above[TX_MEAN + i];
        const uint16_t *restrict below = line->below[TX_MEAN + i];
        int16_t *restrict detail = line->detail[i];
        const uint16_t down = line->down;
        for (size_t x = begin; x < end; x++) {
            const int16_t colour = (int16_t)(pixels[x] >> 8 * i & 255);
            detail[x] = (int16_t)(colour - planned(above, below, down, x));
        }
        for (size_t x = begin; weighed && x < end; x++) {
            /* Half of a weight counts in full. */
            const int16_t share = (int16_t)within(weight[x] >> (15 - FRACTION), ONE);
            detail[x] = (int16_t)((int16_t)(detail[x] * share) >> FRACTION);
        }
    }
}

static WIDE void fill_run(const tx_line *line, size_t begin, size_t end) {
    uint32_t *restrict pixels = line->pixels;
    for (int i = 0; i < COLOURS; i++) {
        const uint16_t *restrict above = line->above[i], *restrict below = line->below[i];
        const uint16_t down = line->down;
        for (size_t x = begin; x < end; x++) {
            const uint32_t colour = (uint32_t)planned(above, below, down, x) << 8 * i;
            pixels[x] = i ? pixels[x] | colour : colour;
        }
    }
}

/* Add shares of the own detail and of the mirrored place's to the base. */
static WIDE void mix_run(const tx_line *line, size_t begin, size_t end) {
    const uint16_t down = line->down;
    int16_t *restrict own = line->share[0], *restrict mirrored = line->share[1];
    for (size_t x = begin; x < end; x++) {
        own[x] = planned(line->above[TX_OWN], line->below[TX_OWN], down, x);
        mirrored[x] = planned(line->above[TX_MIRRORED], line->below[TX_MIRRORED], down, x);
    }
    uint32_t *restrict pixels = line->pixels;
    for (int i = 0; i < COLOURS; i++) {
        const uint16_t *restrict above = line->above[i], *restrict below = line->below[i];
        const int16_t *restrict detail = line->detail[i];
        const int16_t *restrict other = detail + line->side - 1;
        for (size_t x = begin; x < end; x++) {
            const int16_t added = (int16_t)((int16_t)(detail[x] * own[x]) >> FRACTION);
            const int16_t more =
                (int16_t)((int16_t)(other[-(ptrdiff_t)x] * mirrored[x]) >> FRACTION);
            const int32_t sum = planned(above, below, down, x) + added + more;
            const uint32_t colour = (uint32_t)within(sum, 255) << 8 * i;
            pixels[x] = i ? pixels[x] | colour : colour;
        }
    }
}

/* Write a row of colours, three bytes each. */
static void write_row(const uint32_t *pixels, size_t count, uint8_t *out) {
    size_t x = 0;
    /* Each of a fourth byte too much, which the next one covers. */
    for (; x + 4 < count; x += 4, out += 12)
        for (size_t k = 0; k < 4; k++) memcpy(out + 3 * k, pixels + x + k, 4);
    for (; x < count; x++, out += 3) memcpy(out, pixels + x, 3);
}

static void paint_row(const tx_line *line, const uint8_t *tasks, size_t cells, int32_t rows) {
    const size_t block = line->side / cells;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t first = 0, last; first < cells; first = last) {
            const uint8_t task = tasks[first];
            for (last = first + 1; last < cells && tasks[last] == task;) last++;
            const size_t begin = first * block, end = last * block;
            const int weighed = (task & WEIGH) != 0;
            if (pass && (task & KIND) == MIX) mix_run(line, begin, end);
            if (pass && (task & KIND) == FILL) fill_run(line, begin, end);
            if (pass) continue;
            if (task & READ) read_run(line, begin, end, rows, weighed);
            if ((task & DETAIL) && (task & READ)) set_detail(line, begin, end, weighed);
            for (int i = 0; (task & DETAIL) && !(task & READ) && i < COLOURS; i++)
                memset(line->detail[i] + begin, 0, (end - begin) * sizeof *line->detail[i]);
        }
    }
}

/* Interpolate the band where tasks need it. */
static void set_spots(const tx_band *band, const tx_rows *rows, const uint8_t *tasks,
                      size_t cells) {
    const size_t block = rows->nodes / cells;
    for (size_t first = 0, last; first < cells; first = last) {
        const int task = tasks[first] & (READ | WEIGH);
        for (last = first + 1; last < cells && (tasks[last] & (READ | WEIGH)) == task;) last++;
        if (!(task & READ)) continue;
        const size_t begin = first * block, end = last * block;
        set_coarse(band, rows, begin ? begin - 1 : 0, end < rows->nodes ? end + 1 : end);
        for (int i = 0; i < (task & WEIGH ? SPOT : WEIGHT); i++)
            set_fine(band, i, begin, end - begin + 1, rows->step);
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
    uint16_t *rows;  /* of a side: two of the plan; detail and shares */
    int32_t *spots;  /* of nodes + 2, of a side and a piece, of a side */
    uint8_t *blocks; /* of cells: kinds, how well shown, tasks */
    float *ranges;   /* of cells: those of two rows */
} tx_room;

static int get_room(tx_room *room, size_t nodes, size_t cells, size_t side) {
    const size_t piece = side / nodes;
    room->rows = malloc((2 * TX_PLAN + COLOURS + 2) * side * sizeof *room->rows);
    room->spots = malloc((2 * SPOT * (nodes + 2 + side + piece) + (SPOT + 1) * side) *
                         sizeof *room->spots);
    room->blocks = malloc(3 * cells);
    room->ranges = malloc(4 * cells * sizeof *room->ranges);
    return room->rows && room->spots && room->blocks && room->ranges;
}

static void free_room(tx_room *room) {
    free(room->rows);
    free(room->spots);
    free(room->blocks);
    free(room->ranges);
}

static void use_room(const tx_room *room, size_t nodes, size_t side, tx_line *line,
                     tx_wide_plan *wide) {
    const size_t piece = side / nodes;
    uint16_t *row = room->rows;
    for (int i = 0; i < 2 * TX_PLAN; i++, row += side) wide->room[i % 2][i / 2] = row;
    for (int i = 0; i < COLOURS; i++, row += side) line->detail[i] = (int16_t *)row;
    for (int i = 0; i < 2; i++, row += side) line->share[i] = (int16_t *)row;
    int32_t *spots = room->spots;
    for (int rate = 0; rate < 2; rate++) {
        for (int i = 0; i < SPOT; i++) {
            line->band.coarse[rate][i] = spots;
            line->band.fine[rate][i] = spots + nodes + 2 + piece / 2;
            spots += nodes + 2 + side + piece;
        }
    }
    for (int i = 0; i < SPOT; i++, spots += side) line->spot[i] = spots;
    line->pixels = (uint32_t *)spots;
}

int tx_blend(const float *trace, size_t nodes, const float *plan, size_t cells,
             const tx_photo *photo, size_t side, uint8_t *picture) {
    tx_room room;
    if (!get_room(&room, nodes, cells, side)) return free_room(&room), 0;
    tx_wide_plan wide = {.plan = plan, .cells = cells, .block = side / cells};
    tx_line line = {.photo = photo, .side = side};
    use_room(&room, nodes, side, &line, &wide);
    uint8_t *kinds = room.blocks, *shown = kinds + cells, *tasks = shown + cells;
    const size_t step = side / nodes;
    tx_rows rows = {.scale = {WHOLE * (float)photo->width, WHOLE * (float)photo->height, WHOLE},
                    .nodes = nodes, .step = step};
    size_t known = cells; /* the lower of the rows whose kinds are known */
    for (size_t band = 0, y = 0; band <= nodes; band++) {
        rows.above = trace + 3 * nodes * (band ? band - 1 : 0);
        rows.below = trace + 3 * nodes * (band < nodes ? band : nodes - 1);
        float *const above = room.ranges + 2 * cells * (band % 2);
        float *const below = room.ranges + 2 * cells * (1 - band % 2);
        if (!band) set_range(rows.above, cells, nodes, above);
        set_range(rows.below, cells, nodes, below);
        set_shown(above, below, cells, shown);
        const size_t end = band * step + step - step / 2;
        for (int new = 1; y < end && y < side; y++, new = 0) {
            const tx_pair cell = pair_of(y, cells, side);
            if (known != cell.below) {
                const float *const around[2] = {plan + TX_PLAN * cells * cell.above,
                                                plan + TX_PLAN * cells * cell.below};
                for (size_t k = 0; k < cells; k++) kinds[k] = kind_of(around, k, cells);
                new = 1, known = cell.below;
            }
            if (new) {
                set_tasks(kinds, shown, cells, tasks);
                set_spots(&line.band, &rows, tasks, cells);
            }
            line.above = wide_row(&wide, cell.above), line.below = wide_row(&wide, cell.below);
            line.down = (uint16_t)(ONE * cell.down + 0.5F);
            paint_row(&line, tasks, cells, (int32_t)(y + step / 2 - band * step));
            write_row(line.pixels, side, picture + 3 * side * y);
        }
    }
    free_room(&room);
    return 1;
}
