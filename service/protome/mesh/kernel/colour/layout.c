/* Lay a surface out in the head's atlas. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../wide.h"
#include "texture.h"

enum { ON_HEAD, ACROSS, IN_HAIR };
/* Of a vertex: in which half of the layout it lies, or in hair. */
enum { LEFT = 1, RIGHT = 2, HAIR = 4 };

static void set_uv(const tx_surface *surface, tx_layout *layout, uint8_t *halves) {
    for (size_t k = 0; k < surface->vertex_count; k++) {
        const int32_t source = surface->source[k];
        const float *at = surface->corners + 6 * (size_t)(source < 0 ? 0 : source);
        const float *w = surface->weights + 2 * k;
        layout->uv[2 * k] = at[0] + w[0] * at[2] + w[1] * at[4];
        layout->uv[2 * k + 1] = at[1] + w[0] * at[3] + w[1] * at[5];
        halves[k] = source < 0 ? HAIR : layout->uv[2 * k] < 0.5F ? LEFT : RIGHT;
        layout->hairy |= source < 0;
    }
}

static float least(float a, float b, float c) {
    const float m = a < b ? a : b;
    return m < c ? m : c;
}

/* Whether a triangle with corners in both halves is across the seam: the way over the square's left
   and right sides, or over its upper or lower one, is shorter than the way within. */
static int is_across(const float *uv, const uint32_t *corner) {
    float u[3], off[3];
    for (int k = 0; k < 3; k++) {
        u[k] = uv[2 * (size_t)corner[k]];
        off[k] = fabsf(uv[2 * (size_t)corner[k] + 1] - 0.5F);
    }
    const float within = -least(-u[0], -u[1], -u[2]) - least(u[0], u[1], u[2]);
    const float over = 1 - 2 * least(off[0], off[1], off[2]);
    return within > 1 - within || within > over;
}

/* Which of a vertex' places a triangle's corner is: on the head, beyond the seam, in the hair. */
static inline int part_of(uint8_t where, const float *uv, uint32_t vertex) {
    return where == IN_HAIR ? 2 : where == ACROSS && uv[2 * (size_t)vertex] >= 0.5F ? 1 : 0;
}

/* Find how each triangle lies, and which places of vertices are used: bits of ``used``. */
static void set_where(const tx_surface *surface, tx_layout *layout, const uint8_t *halves,
                      uint8_t *used) {
    const uint32_t *corner = surface->triangles;
    for (size_t t = 0; t < surface->triangle_count; t++, corner += 3) {
        const int found = halves[corner[0]] | halves[corner[1]] | halves[corner[2]];
        uint8_t where = found & HAIR ? IN_HAIR : ON_HEAD;
        if (found == (LEFT | RIGHT) && is_across(layout->uv, corner)) where = ACROSS;
        layout->where[t] = where;
        for (int k = 0; k < 3; k++)
            used[corner[k]] |= (uint8_t)(1 << part_of(where, layout->uv, corner[k]));
    }
}

int tx_lay_out(const tx_surface *surface, tx_layout *layout) {
    const size_t n = surface->vertex_count;
    memset(layout, 0, sizeof *layout);
    layout->uv = malloc((2 * n + 1) * sizeof *layout->uv);
    layout->order = malloc((3 * n + 1) * sizeof *layout->order);
    layout->where = malloc(surface->triangle_count + 1);
    uint8_t *halves = malloc(n + 1);
    layout->used = calloc(n + 1, 1);
    const int done = layout->uv && layout->order && layout->where && layout->used && halves;
    if (done) {
        set_uv(surface, layout, halves);
        set_where(surface, layout, halves, layout->used);
        uint32_t count = 0, *order = layout->order;
        for (int part = 0; part < 3; part++) {
            if (part == 2) layout->in_hair = count;
            for (size_t k = 0; k < n; k++, order++) {
                *order = count;
                count += layout->used[k] >> part & 1;
            }
        }
        layout->count = count;
    }
    free(halves);
    return done;
}

static float between(float value, float high) { return value < 0 ? 0 : value > high ? high : value; }

/* Continue the layout's left half across the seam: places of the right half, seen from it. */
static void set_beyond(float *u, float *v) {
    *u = 1 - *u;
    const float low = *v, high = 1 - *v;
    if (*u < (low < high ? low : high)) *u = -*u;
    else *v = *v < 0.5F ? -*v : 2 - *v;
}

void tx_write_layout(const tx_surface *surface, const tx_layout *layout, float *places,
                     uint32_t *source, uint32_t *triangles) {
    const size_t n = surface->vertex_count;
    const float height = layout->hairy ? surface->share : 1, strip = surface->strip;
    for (size_t part = 0; part < 3; part++) {
        const uint32_t *order = layout->order + part * n;
        for (size_t k = 0; k < n; k++) {
            if (!(layout->used[k] >> part & 1)) continue;
            const size_t at = order[k];
            float u = layout->uv[2 * k], v = layout->uv[2 * k + 1];
            if (part == 1) set_beyond(&u, &v);
            source[at] = (uint32_t)k;
            places[2 * at] = between(u * (1 - 2 * strip) + strip, 1);
            places[2 * at + 1] = between(v * (height - 2 * strip) + strip, height);
        }
    }
    const uint32_t *corner = surface->triangles;
    for (size_t t = 0; t < surface->triangle_count; t++, corner += 3, triangles += 3) {
        const uint8_t where = layout->where[t];
        for (int k = 0; k < 3; k++) {
            const size_t part = (size_t)part_of(where, layout->uv, corner[k]);
            triangles[k] = layout->order[part * n + corner[k]];
        }
    }
}

void tx_free_layout(tx_layout *layout) {
    free(layout->uv);
    free(layout->order);
    free(layout->where);
    free(layout->used);
}

/* Angle between the direction (1, 0) and (along, across), across at least 0; within 1e-5. */
static inline float angle_of(float along, float across) {
    const float size = along < 0 ? -along : along;
    const float longer = across > size ? across : size, shorter = across > size ? size : across;
    const float t = shorter / (longer > 1e-30F ? longer : 1e-30F), s = t * t;
    /* Abramowitz and Stegun, 4.4.49, with two terms more. */
    const float series =
        0.99997726F + s * (-0.33262347F + s * (0.19354346F + s * (-0.11643287F +
                           s * (0.05265332F + s * -0.01172120F))));
    const float half = across > size ? 1.57079633F - t * series : t * series;
    return along < 0 ? 3.14159265F - half : half;
}

/* Vertices at a time: as the fields of structures they would be computed one by one. */
enum { AT_A_TIME = 64 };

WIDE void tx_disk(const float *vertices, const uint32_t *which, size_t count,
                  const tx_frame *frame, float *places) {
    const float *m = frame->middle, *a = frame->axes;
    const float share = 1 / frame->reach, growth = frame->growth;
    float u[AT_A_TIME], v[AT_A_TIME], w[AT_A_TIME];
    for (size_t begin = 0; begin < count; begin += AT_A_TIME) {
        const size_t some = count - begin < AT_A_TIME ? count - begin : AT_A_TIME;
        for (size_t k = 0; k < some; k++) {
            const float *at = vertices + 3 * (size_t)which[begin + k];
            u[k] = at[0] - m[0], v[k] = at[1] - m[1], w[k] = at[2] - m[2];
        }
        for (size_t k = 0; k < some; k++) {
            const float x = a[0] * u[k] + a[1] * v[k] + a[2] * w[k];
            const float y = a[3] * u[k] + a[4] * v[k] + a[5] * w[k];
            const float z = a[6] * u[k] + a[7] * v[k] + a[8] * w[k];
            const float across = sqrtf(x * x + z * z), angle = share * angle_of(y, across);
            const float part = angle < 1 ? angle : 1;
            const float radius = (1 + growth) * part /
                                 ((1 + growth * part) * (across > 1e-6F ? across : 1e-6F));
            u[k] = 0.5F + frame->radii[0] * radius * x;
            v[k] = frame->centre - frame->radii[1] * radius * z;
        }
        for (size_t k = 0; k < some; k++, places += 2) places[0] = u[k], places[1] = v[k];
    }
}

typedef float tx_four __attribute__((vector_size(16)));

void tx_move(const float *rows, const uint32_t *which, size_t count, const float *m, float *out) {
    const tx_four x = {m[0], m[4], m[8], 0}, y = {m[1], m[5], m[9], 0};
    const tx_four z = {m[2], m[6], m[10], 0}, start = {m[3], m[7], m[11], 0};
    for (size_t k = 0; k < count; k++, out += 3) {
        const float *at = rows + 3 * (size_t)which[k];
        const tx_four first = {at[0], at[0], at[0], at[0]}, second = {at[1], at[1], at[1], at[1]};
        const tx_four third = {at[2], at[2], at[2], at[2]};
        const tx_four moved = x * first + y * second + z * third + start;
        /* The fourth lies where the next row will. */
        memcpy(out, &moved, k + 1 < count ? 16 : 12);
    }
}
