/* Lay a surface out in the head's atlas. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "texture.h"

/* Triangles with corners in both halves are across the seam if they are longer than this, or lie
   this near to the square's upper or lower side. */
static const float LONG = 0.5F, NEAR = 0.06F;

enum { ON_HEAD, ACROSS, IN_HAIR };

static void set_uv(const tx_surface *surface, tx_layout *layout) {
    for (size_t k = 0; k < surface->vertex_count; k++) {
        const int32_t source = surface->source[k];
        if (source < 0) layout->hairy = 1;
        const float *at = surface->corners + 6 * (size_t)(source < 0 ? 0 : source);
        const float *w = surface->weights + 2 * k;
        layout->uv[2 * k] = at[0] + w[0] * at[2] + w[1] * at[4];
        layout->uv[2 * k + 1] = at[1] + w[0] * at[3] + w[1] * at[5];
    }
}

static float least(float a, float b, float c) {
    const float m = a < b ? a : b;
    return m < c ? m : c;
}

static int is_across(const float *uv, const uint32_t *corner) {
    float u[3], v[3];
    for (int k = 0; k < 3; k++) u[k] = uv[2 * (size_t)corner[k]];
    const int left = (u[0] < 0.5F) + (u[1] < 0.5F) + (u[2] < 0.5F);
    if (left == 0 || left == 3) return 0;
    if (-least(-u[0], -u[1], -u[2]) - least(u[0], u[1], u[2]) > LONG) return 1;
    for (int k = 0; k < 3; k++) v[k] = fabsf(uv[2 * (size_t)corner[k] + 1] - 0.5F);
    return least(v[0], v[1], v[2]) > 0.5F - NEAR;
}

/* The place of a triangle's corner: n for each vertex on the head, beyond the seam, in the hair. */
static size_t place_of(const tx_surface *surface, const tx_layout *layout, uint8_t where,
                       uint32_t vertex) {
    const size_t n = surface->vertex_count;
    if (where == IN_HAIR) return 2 * n + vertex;
    return vertex + (where == ACROSS && layout->uv[2 * (size_t)vertex] >= 0.5F ? n : 0);
}

int tx_lay_out(const tx_surface *surface, tx_layout *layout) {
    const size_t n = surface->vertex_count;
    memset(layout, 0, sizeof *layout);
    layout->uv = malloc((2 * n + 1) * sizeof *layout->uv);
    layout->order = calloc(3 * n + 1, sizeof *layout->order);
    layout->where = malloc(surface->triangle_count + 1);
    if (!layout->uv || !layout->order || !layout->where) return 0;
    set_uv(surface, layout);
    const uint32_t *corner = surface->triangles;
    const int32_t *source = surface->source;
    for (size_t t = 0; t < surface->triangle_count; t++, corner += 3) {
        uint8_t where = ON_HEAD;
        if (source[corner[0]] < 0 || source[corner[1]] < 0 || source[corner[2]] < 0)
            where = IN_HAIR;
        else if (is_across(layout->uv, corner)) where = ACROSS;
        layout->where[t] = where;
        for (int k = 0; k < 3; k++) layout->order[place_of(surface, layout, where, corner[k])] = 1;
    }
    uint32_t count = 0;
    for (size_t k = 0; k < 3 * n; k++) {
        if (k == n) layout->beyond = count;
        if (k == 2 * n) layout->in_hair = count;
        const uint32_t used = layout->order[k];
        layout->order[k] = count;
        count += used;
    }
    layout->count = count;
    return 1;
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
        for (size_t k = 0; k < n; k++) {
            const size_t spot = part * n + k, at = layout->order[spot];
            if ((spot + 1 < 3 * n ? layout->order[spot + 1] : layout->count) == at) continue;
            float u = layout->uv[2 * k], v = layout->uv[2 * k + 1];
            if (part == 1) set_beyond(&u, &v);
            source[at] = (uint32_t)k;
            places[2 * at] = between(u * (1 - 2 * strip) + strip, 1);
            places[2 * at + 1] = between(v * (height - 2 * strip) + strip, height);
        }
    }
    const uint32_t *corner = surface->triangles;
    for (size_t t = 0; t < surface->triangle_count; t++)
        for (int k = 0; k < 3; k++)
            *triangles++ =
                layout->order[place_of(surface, layout, layout->where[t], *corner++)];
}

void tx_free_layout(tx_layout *layout) {
    free(layout->uv);
    free(layout->order);
    free(layout->where);
}
