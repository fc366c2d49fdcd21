/* The largest of the pieces of a mesh. */

#include <stdlib.h>
#include <string.h>

#include "compose.h"

static uint32_t root_of(uint32_t *parent, uint32_t v) {
    while (parent[v] != v) {
        parent[v] = parent[parent[v]];
        v = parent[v];
    }
    return v;
}

static void join(uint32_t *parent, uint32_t a, uint32_t b) {
    if (parent[a] == parent[b]) return;
    a = root_of(parent, a);
    b = root_of(parent, b);
    if (a < b) parent[b] = a;
    else parent[a] = b;
}

/* Give each vertex the first vertex of its piece. */
static void find_pieces(const pm_mesh *mesh, uint32_t *piece) {
    for (size_t v = 0; v < mesh->vertex_count; v++) piece[v] = (uint32_t)v;
    for (size_t k = 0; k < mesh->triangle_count; k++) {
        const uint32_t *t = mesh->triangles + 3 * k;
        /* In a fan the triangle before has joined the first two. */
        if (!k || t[0] != t[-3] || t[1] != t[-1]) join(piece, t[0], t[1]);
        join(piece, t[0], t[2]);
    }
    /* A parent is before its children. */
    for (size_t v = 0; v < mesh->vertex_count; v++) piece[v] = piece[piece[v]];
}

/* Keep the vertices and triangles of the piece whose first vertex is ``kept``. */
static void keep(pm_mesh *mesh, uint32_t kept, uint32_t *piece) {
    size_t n = 0, m = 0;
    /* ``piece`` becomes the new numbers. */
    for (size_t v = 0; v < mesh->vertex_count; v++) {
        if (piece[v] != kept) {
            piece[v] = UINT32_MAX;
            continue;
        }
        mesh->places[n] = mesh->places[v];
        mesh->normals[n] = mesh->normals[v];
        mesh->source[n] = mesh->source[v];
        memmove(mesh->weights + 2 * n, mesh->weights + 2 * v, 2 * sizeof(float));
        piece[v] = (uint32_t)n++;
    }
    for (size_t k = 0; k < mesh->triangle_count; k++) {
        const uint32_t *t = mesh->triangles + 3 * k;
        if (piece[t[0]] == UINT32_MAX) continue;
        for (int i = 0; i < 3; i++) mesh->triangles[3 * m + (size_t)i] = piece[t[i]];
        m++;
    }
    mesh->vertex_count = n;
    mesh->triangle_count = m;
}

pm_status pm_keep_largest(pm_mesh *mesh) {
    uint32_t *piece = malloc(mesh->vertex_count * sizeof *piece), best = 0;
    uint32_t *size = calloc(mesh->vertex_count, sizeof *size);
    if (piece && size) {
        find_pieces(mesh, piece);
        for (size_t k = 0; k < mesh->triangle_count; k++) size[piece[mesh->triangles[3 * k]]]++;
        for (size_t v = 1; v < mesh->vertex_count; v++)
            if (size[v] > size[best]) best = (uint32_t)v;
        if (size[best] < mesh->triangle_count) keep(mesh, best, piece);
    }
    const pm_status status = piece && size ? PM_OK : PM_NO_MEMORY;
    free(piece);
    free(size);
    return status;
}
