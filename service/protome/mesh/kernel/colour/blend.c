/* Paint an atlas: the colours of the plan, with the photo's detail.

   Rows are painted from run to run: blocks of texels side by side of which the same is to be done.
   Between two rows of nodes, and of cells, the runs are the same. */

#include <stdlib.h>
#include <string.h>

#include "../wide.h"
#include "band.h"
#include "photo.h"
#include "tasks.h"

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
        if (!band) tx_set_range(rows.above, cells, nodes, above);
        tx_set_range(rows.below, cells, nodes, below);
        tx_set_shown(above, below, cells, shown);
        const size_t end = band * step + step - step / 2;
        for (int new = 1; y < end && y < side; y++, new = 0) {
            const tx_pair cell = pair_of(y, cells, side);
            if (known != cell.below) {
                const float *const around[2] = {plan + TX_PLAN * cells * cell.above,
                                                plan + TX_PLAN * cells * cell.below};
                tx_set_kinds(around, cells, kinds);
                new = 1, known = cell.below;
            }
            if (new) {
                tx_set_tasks(kinds, shown, cells, tasks);
                tx_set_spots(&line.band, &rows, tasks, cells);
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
