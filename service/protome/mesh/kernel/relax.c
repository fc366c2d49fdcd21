/* Tangential Laplacian smoothing; afterwards each vertex returns to the surface that it came from:
 * on the head by walking from triangle to triangle, on the hair by a step of Newton's method.
 *
 * Marching cubes leaves slivers wherever the surface passes close to a node.
 */

#include "relax.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Share of the way to the middle of the neighbours. */
static const float PACE = 0.8F;
/* Most triangles that a vertex walks over. */
#define MOST_STEPS 12

static float dot(const float *a, const float *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

static void cross(const float *a, const float *b, float *out) {
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

/* ---- smoothing */

/* Count the neighbours of each vertex: each is the end of one directed edge, as the mesh is closed. */
static void find_degree(const pm_mesh *mesh, uint32_t *degree) {
    for (size_t c = 0; c < 3 * mesh->triangle_count; c++) degree[mesh->triangles[c]]++;
}

/* One round: ``spots`` move in the planes across the mesh's normals. */
static void smooth(const pm_mesh *mesh, const uint32_t *degree, float *sums, float *spots) {
    memset(sums, 0, 3 * mesh->vertex_count * sizeof *sums);
    for (size_t k = 0; k < mesh->triangle_count; k++) {
        const uint32_t *corners = mesh->triangles + 3 * k;
        for (int c = 0; c < 3; c++) {
            float *sum = sums + 3 * (size_t)corners[c];
            const float *spot = spots + 3 * (size_t)corners[c == 2 ? 0 : c + 1];
            for (int i = 0; i < 3; i++) sum[i] += spot[i];
        }
    }
    for (size_t v = 0; v < mesh->vertex_count; v++) {
        const float *normal = mesh->normals + 3 * v;
        float *spot = spots + 3 * v, way[3];
        for (int i = 0; i < 3; i++) way[i] = sums[3 * v + i] / (float)degree[v] - spot[i];
        const float up = dot(way, normal);
        for (int i = 0; i < 3; i++) spot[i] += PACE * (way[i] - up * normal[i]);
    }
}

/* ---- on the head */

typedef struct {
    const pm_head *head;
    uint32_t *first; /* (vertex_count + 1): of the edges that begin at a vertex */
    uint32_t *edges; /* (3 triangle_count): 3 t + i is the edge from corner i of t to the next */
} rings;

static int make_rings(const pm_head *head, rings *rings) {
    const size_t n = head->vertex_count, edges = 3 * head->triangle_count;
    rings->head = head;
    rings->first = calloc(n + 2, sizeof *rings->first);
    rings->edges = malloc((edges + 1) * sizeof *rings->edges);
    if (!rings->first || !rings->edges) return 0;
    uint32_t *next = rings->first + 1;
    for (size_t e = 0; e < edges; e++) next[head->triangles[e] + 1]++;
    for (size_t v = 0; v < n; v++) next[v + 1] += next[v];
    for (size_t e = 0; e < edges; e++) rings->edges[next[head->triangles[e]]++] = (uint32_t)e;
    return 1;
}

/* The triangle on the other side of the edge from corner ``i`` of ``t`` to the next; -1: none. */
static int32_t neighbour(const rings *rings, int32_t t, int i) {
    const int32_t *corners = rings->head->triangles;
    const int32_t a = corners[3 * (size_t)t + (size_t)i];
    const int32_t b = corners[3 * (size_t)t + (size_t)(i + 1) % 3];
    for (uint32_t n = rings->first[b]; n < rings->first[b + 1]; n++) {
        const uint32_t e = rings->edges[n];
        if (corners[e % 3 == 2 ? e - 2 : e + 1] == a) return (int32_t)(e / 3);
    }
    return -1;
}

/* Walk from triangle ``*t`` to the one below a point; ``weights`` get the barycentric weights of
 * the nearest place found. 0: none. */
static int walk(const rings *rings, const float point[3], int32_t *t, float weights[3]) {
    int32_t before = -1;
    for (int n = 0; n < MOST_STEPS; n++) {
        const int32_t *corners = rings->head->triangles + 3 * (size_t)*t;
        const float *p[3];
        float along[3], aside[3], to[3], normal[3], part[3];
        for (int i = 0; i < 3; i++) p[i] = rings->head->vertices + 3 * (size_t)corners[i];
        for (int a = 0; a < 3; a++) {
            along[a] = p[1][a] - p[0][a];
            aside[a] = p[2][a] - p[0][a];
            to[a] = point[a] - p[0][a];
        }
        cross(along, aside, normal);
        const float square = dot(normal, normal);
        if (!(square > 0)) return 0;
        cross(to, aside, part);
        weights[1] = dot(part, normal) / square;
        cross(along, to, part);
        weights[2] = dot(part, normal) / square;
        weights[0] = 1 - weights[1] - weights[2];
        int worst = 0;
        for (int i = 1; i < 3; i++)
            if (weights[i] < weights[worst]) worst = i;
        if (!(weights[worst] < 0)) return 1;
        const int from = (worst + 1) % 3, end = (worst + 2) % 3;
        const int32_t over = neighbour(rings, *t, from);
        if (over < 0) return 0;
        if (over == before) {
            /* The point is beyond the ridge between the two: the nearest place is on it. */
            float ridge[3], way[3];
            for (int a = 0; a < 3; a++) {
                ridge[a] = p[end][a] - p[from][a];
                way[a] = point[a] - p[from][a];
            }
            const float share = dot(way, ridge) / dot(ridge, ridge);
            weights[worst] = 0;
            weights[end] = share < 0 ? 0 : share > 1 ? 1 : share;
            weights[from] = 1 - weights[end];
            return 1;
        }
        before = *t;
        *t = over;
    }
    return 0;
}

static void return_to_head(const rings *rings, const float *normals, int step, const float *spot,
                           pm_mesh *mesh, size_t v) {
    int32_t t = mesh->source[v];
    float weights[3], *old = mesh->vertices + 3 * v;
    float place[3] = {0, 0, 0}, normal[3] = {0, 0, 0}, moved = 0;
    if (!walk(rings, spot, &t, weights)) return;
    for (int i = 0; i < 3; i++) {
        const size_t corner = 3 * (size_t)rings->head->triangles[3 * (size_t)t + (size_t)i];
        for (int a = 0; a < 3; a++) {
            place[a] += weights[i] * rings->head->vertices[corner + (size_t)a];
            normal[a] += weights[i] * normals[corner + (size_t)a];
        }
    }
    for (int a = 0; a < 3; a++) moved += (place[a] - old[a]) * (place[a] - old[a]);
    const float square = dot(normal, normal);
    if (!(moved < (float)(step * step)) || !(square > 0)) return;
    mesh->source[v] = t;
    mesh->weights[2 * v] = weights[1];
    mesh->weights[2 * v + 1] = weights[2];
    for (int a = 0; a < 3; a++) {
        old[a] = place[a];
        mesh->normals[3 * v + (size_t)a] = normal[a] / sqrtf(square);
    }
}

/* ---- on the hair */

static void return_to_hair(const pm_hair *hair, int step, const float *spot, pm_mesh *mesh,
                           size_t v) {
    float slope[3], *old = mesh->vertices + 3 * v;
    float place[3], moved = 0;
    const float value = pm_hair_at(hair, spot, slope), square = dot(slope, slope);
    if (!(square > 0)) return;
    for (int a = 0; a < 3; a++) {
        place[a] = spot[a] - value * slope[a] / square;
        moved += (place[a] - old[a]) * (place[a] - old[a]);
    }
    if (!(moved < (float)(step * step))) return;
    for (int a = 0; a < 3; a++) {
        old[a] = place[a];
        mesh->normals[3 * v + (size_t)a] = -slope[a] / sqrtf(square);
    }
}

pm_status pm_relax(const pm_head *head, const float *normals, const pm_hair *hair, int step,
                   int rounds, pm_mesh *mesh) {
    const size_t n = mesh->vertex_count;
    rings rings = {0};
    pm_status status = PM_NO_MEMORY;
    float *room = malloc((6 * n + 1) * sizeof *room);
    uint32_t *degree = calloc(n + 1, sizeof *degree);
    if (room && degree && make_rings(head, &rings)) {
        float *spots = room, *sums = room + 3 * n;
        status = PM_OK;
        memcpy(spots, mesh->vertices, 3 * n * sizeof *spots);
        find_degree(mesh, degree);
        for (int r = 0; r < rounds; r++) smooth(mesh, degree, sums, spots);
        for (size_t v = 0; v < n; v++) {
            if (mesh->source[v] < 0) return_to_hair(hair, step, spots + 3 * v, mesh, v);
            else return_to_head(&rings, normals, step, spots + 3 * v, mesh, v);
        }
    }
    free(rings.first);
    free(rings.edges);
    free(degree);
    free(room);
    return status;
}
