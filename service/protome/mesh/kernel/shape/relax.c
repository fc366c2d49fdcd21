/* Space vertices evenly by tangential Laplacian smoothing; afterwards each returns to its surface:
 * on the head by walking from triangle to triangle, on the hair by a step of Newton's method.
 *
 * Marching cubes leaves slivers wherever the surface passes close to a node.
 */

#include "relax.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../wide.h"
/* Share of the way to the middle of the neighbours. */
static const float PACE = 0.8F;
/* Most triangles that a vertex walks over. */
#define MOST_STEPS 12

/* One round: ``spots`` move in the planes across the mesh's normals. The fourth part of a spot is 1,
 * so that of a sum is the number of neighbours: each is the end of one directed edge, as the mesh is
 * closed. ``sums`` are 0 before and after. */
static WIDE void smooth(const pm_mesh *mesh, pm_four *sums, pm_four *spots) {
    for (size_t k = 0; k < mesh->triangle_count; k++) {
        const uint32_t *t = mesh->triangles + 3 * k;
        const pm_four a = spots[t[0]], b = spots[t[1]], c = spots[t[2]];
        sums[t[0]] += b;
        sums[t[1]] += c;
        sums[t[2]] += a;
    }
    for (size_t v = 0; v < mesh->vertex_count; v++) {
        const pm_four normal = mesh->normals[v], way = sums[v] / sums[v][3] - spots[v];
        spots[v] += PACE * (way - dot3(way, normal) * normal);
        sums[v] = (pm_four){0};
    }
}

/* ---- on the head */

static int is_near(pm_four place, pm_four other, int step) {
    const pm_four way = place - other;
    return dot3(way, way) < (float)(step * step);
}

/* Vertices walk in groups, step by step: what a vertex does next cannot be predicted, so its
 * results are written in any case and counted if they apply. */
enum { GROUP = 128 };

typedef struct {
    uint32_t vertex;
    int32_t triangle, before; /* where it is and was */
} walker;

/* The nearest place found: barycentric weights on a triangle. */
typedef struct {
    uint32_t vertex;
    int32_t triangle;
    float weights[3];
} place;

typedef struct {
    const pm_face *faces;
    const pm_point *points;
    const pm_four *spots; /* by vertex: the point above or below the head */
    walker walkers[GROUP];
    place places[GROUP];
    size_t walking, found;
} group;

/* The point is beyond the ridge between two triangles: the nearest place is on it. */
static void stop_on_ridge(pm_four base, pm_four top, pm_four point, int from, float weights[3]) {
    const int end = (from + 1) % 3;
    const pm_four ridge = top - base;
    const float share = dot3(point - base, ridge) / dot3(ridge, ridge);
    weights[(from + 2) % 3] = 0;
    weights[end] = share < 0 ? 0 : share > 1 ? 1 : share;
    weights[from] = 1 - weights[end];
}

/* One step of all walkers: to the neighbour in the direction of the spot, unless they arrive, cannot
 * go on or would turn back. */
static WIDE void step_on(group *g) {
    static const int8_t after[3] = {1, 2, 0};
    size_t walking = 0;
    for (size_t i = 0; i < g->walking; i++) {
        const walker w = g->walkers[i];
        const pm_face *face = g->faces + w.triangle;
        const pm_four start = g->points[face->corners[0]].place, to = g->spots[w.vertex] - start;
        const pm_four along = g->points[face->corners[1]].place - start;
        const pm_four aside = g->points[face->corners[2]].place - start;
        const pm_four dots = sums3(along * along, along * aside, aside * aside, to * along);
        const float aa = dots[0], ab = dots[1], bb = dots[2], ta = dots[3], tb = dot3(to, aside);
        const float square = aa * bb - ab * ab;
        if (!(square > 0)) continue;
        const float second = (bb * ta - ab * tb) / square, third = (aa * tb - ab * ta) / square;
        const float first = 1 - second - third;
        place *p = g->places + g->found;
        *p = (place){w.vertex, w.triangle, {first, second, third}};
        const float lesser = second < first ? second : first;
        const int worst = third < lesser ? 2 : second < first;
        const int from = after[worst];
        const int32_t over = face->next[from];
        const int outside = (third < lesser ? third : lesser) < 0;
        const int back = outside & (over >= 0) & (over == w.before);
        if (back)
            stop_on_ridge(g->points[face->corners[from]].place,
                          g->points[face->corners[after[from]]].place, g->spots[w.vertex], from,
                          p->weights);
        g->found += (size_t)(back | !outside);
        g->walkers[walking] = (walker){w.vertex, over, w.triangle};
        walking += (size_t)(outside & !back & (over >= 0));
    }
    g->walking = walking;
}

static WIDE void return_to_head(const group *g, int step, pm_mesh *mesh) {
    for (const place *p = g->places; p < g->places + g->found; p++) {
        const int32_t *corners = g->faces[p->triangle].corners;
        const pm_point *a = g->points + corners[0], *b = g->points + corners[1],
                       *c = g->points + corners[2];
        const float *weights = p->weights;
        const pm_four at = weights[0] * a->place + weights[1] * b->place + weights[2] * c->place;
        const pm_four normal =
            weights[0] * a->normal + weights[1] * b->normal + weights[2] * c->normal;
        const float square = dot3(normal, normal);
        if (!is_near(at, mesh->places[p->vertex], step) || !(square > 0)) continue;
        mesh->source[p->vertex] = p->triangle;
        memcpy(mesh->weights + 2 * (size_t)p->vertex, weights + 1, 2 * sizeof *weights);
        mesh->places[p->vertex] = at;
        mesh->normals[p->vertex] = normal / sqrtf(square);
    }
}

/* ---- on the hair */

static void return_to_hair(const pm_hair *hair, int step, pm_four spot, pm_mesh *mesh, size_t v) {
    const pm_four slope = pm_hair_at(hair, spot);
    const float square = dot3(slope, slope);
    if (!(square > 0)) return;
    const pm_four place = spot - slope[3] / square * slope;
    if (!is_near(place, mesh->places[v], step)) return;
    mesh->places[v] = place;
    mesh->normals[v] = slope / -sqrtf(square);
}

/* ---- */

/* Return the vertices from ``first`` to ``end``. */
static void return_group(const pm_head *head, const pm_scan *scan, const pm_hair *hair, int step,
                         const pm_four *spots, size_t first, size_t end, pm_mesh *mesh) {
    group g;
    g.faces = head->faces;
    g.points = scan->points;
    g.spots = spots;
    g.walking = g.found = 0;
    for (size_t v = first; v < end; v++) {
        const int32_t source = mesh->source[v];
        g.walkers[g.walking] = (walker){(uint32_t)v, source, -1};
        g.walking += source >= 0;
        if (source < 0 && hair->values) return_to_hair(hair, step, spots[v], mesh, v);
    }
    for (int n = 0; g.walking && n < MOST_STEPS; n++) step_on(&g);
    return_to_head(&g, step, mesh);
}

pm_status pm_relax(const pm_head *head, const pm_scan *scan, const pm_hair *hair, int step,
                   int rounds, pm_mesh *mesh) {
    const size_t n = mesh->vertex_count;
    pm_four *spots = malloc((n + 1) * sizeof *spots), *sums = calloc(n + 1, sizeof *sums);
    const pm_status status = spots && sums ? PM_OK : PM_NO_MEMORY;
    if (status == PM_OK) {
        for (size_t v = 0; v < n; v++) {
            spots[v] = mesh->places[v];
            spots[v][3] = 1;
        }
        for (int r = 0; r < rounds; r++) smooth(mesh, sums, spots);
        for (size_t v = 0; v < n; v += GROUP)
            return_group(head, scan, hair, step, spots, v, v + GROUP < n ? v + GROUP : n, mesh);
    }
    free(spots);
    free(sums);
    return status;
}
