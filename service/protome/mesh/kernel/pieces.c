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
    a = root_of(parent, a);
    b = root_of(parent, b);
    if (a < b) parent[b] = a;
    else parent[a] = b;
}

pm_status pm_keep_largest(pm_mesh *mesh) {
    const size_t n = mesh->vertex_count, m = mesh->triangle_count;
    uint32_t *parent = malloc(n * sizeof *parent), *size = calloc(n, sizeof *size);
    pm_status status = PM_NO_MEMORY;
    if (parent && size) {
        status = PM_OK;
        uint32_t *t = mesh->triangles, best = 0;
        for (size_t v = 0; v < n; v++) parent[v] = (uint32_t)v;
        for (size_t k = 0; k < m; k++) {
            join(parent, t[3 * k], t[3 * k + 1]);
            join(parent, t[3 * k], t[3 * k + 2]);
        }
        for (size_t k = 0; k < m; k++) size[root_of(parent, t[3 * k])]++;
        for (size_t v = 1; v < n; v++)
            if (size[v] > size[best]) best = (uint32_t)v;
        if (size[best] < m) {
            size_t kept = 0;
            /* ``size`` becomes the new numbers. */
            for (size_t v = 0; v < n; v++) {
                if (root_of(parent, (uint32_t)v) != best) {
                    size[v] = UINT32_MAX;
                    continue;
                }
                memmove(mesh->vertices + 3 * kept, mesh->vertices + 3 * v, 3 * sizeof(float));
                memmove(mesh->normals + 3 * kept, mesh->normals + 3 * v, 3 * sizeof(float));
                memmove(mesh->weights + 2 * kept, mesh->weights + 2 * v, 2 * sizeof(float));
                mesh->source[kept] = mesh->source[v];
                size[v] = (uint32_t)kept++;
            }
            mesh->vertex_count = kept;
            kept = 0;
            for (size_t k = 0; k < m; k++) {
                if (size[t[3 * k]] == UINT32_MAX) continue;
                for (int i = 0; i < 3; i++) t[3 * kept + i] = size[t[3 * k + i]];
                kept++;
            }
            mesh->triangle_count = kept;
        }
    }
    free(parent);
    free(size);
    return status;
}
