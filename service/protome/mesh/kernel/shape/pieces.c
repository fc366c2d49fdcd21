/* Keep the largest of the pieces of a mesh. */

#include <stdlib.h>
#include <string.h>

#include "compose.h"

typedef struct {
    uint32_t parent, triangles;
} label;

static uint32_t root_of(label *labels, uint32_t number) {
    while (labels[number].parent != number) {
        labels[number].parent = labels[labels[number].parent].parent;
        number = labels[number].parent;
    }
    return number;
}

static uint32_t join(label *labels, uint32_t a, uint32_t b) {
    a = root_of(labels, a);
    b = root_of(labels, b);
    labels[a > b ? a : b].parent = a < b ? a : b;
    return a < b ? a : b;
}

/* Label the vertices, from 1, and return the end of the labels. A triangle passes its label on to
 * corners that have none; where two labels meet they are joined. As the triangles are in the order
 * of the lattice, few begin a new label. */
static uint32_t label_vertices(const pm_mesh *mesh, uint32_t *of, label *labels) {
    uint32_t end = 1;
    for (size_t k = 0; k < mesh->triangle_count; k++) {
        const uint32_t *t = mesh->triangles + 3 * k;
        const uint32_t a = of[t[0]], b = of[t[1]], c = of[t[2]];
        uint32_t most = a > b ? a : b;
        most = most > c ? most : c;
        if (!most) {
            labels[end] = (label){end, 0};
            most = end++;
        } else if ((a - 1 < most - 1) | (b - 1 < most - 1) | (c - 1 < most - 1)) {
            if (a) most = join(labels, a, most);
            if (b) most = join(labels, b, most);
            if (c) most = join(labels, c, most);
        }
        of[t[0]] = of[t[1]] = of[t[2]] = most;
        labels[most].triangles++;
    }
    return end;
}

/* The root of the largest piece; of equal ones of that with the first vertex. */
static uint32_t find_largest(const pm_mesh *mesh, const uint32_t *of, label *labels, uint32_t end) {
    uint32_t most = 0;
    /* A parent is before its children. */
    for (uint32_t n = end; --n;)
        if (labels[n].parent != n) labels[labels[n].parent].triangles += labels[n].triangles;
    for (uint32_t n = 1; n < end; n++) {
        labels[n].parent = labels[labels[n].parent].parent;
        if (labels[n].triangles > most && labels[n].parent == n) most = labels[n].triangles;
    }
    for (size_t v = 0; v < mesh->vertex_count; v++) {
        const uint32_t root = labels[of[v]].parent;
        if (labels[root].triangles == most) return root;
    }
    return 0;
}

/* Keep the vertices and triangles of the piece with this root; ``of`` becomes the new numbers. */
static void keep(pm_mesh *mesh, uint32_t root, const label *labels, uint32_t *of) {
    size_t n = 0, m = 0;
    for (size_t v = 0; v < mesh->vertex_count; v++) {
        if (labels[of[v]].parent != root) {
            of[v] = UINT32_MAX;
            continue;
        }
        of[v] = (uint32_t)n;
        if (n != v) {
            mesh->places[n] = mesh->places[v];
            mesh->normals[n] = mesh->normals[v];
            mesh->source[n] = mesh->source[v];
            memcpy(mesh->weights + 2 * n, mesh->weights + 2 * v, 2 * sizeof(float));
        }
        n++;
    }
    for (size_t k = 0; k < mesh->triangle_count; k++) {
        const uint32_t *t = mesh->triangles + 3 * k;
        if (of[t[0]] == UINT32_MAX) continue;
        for (int i = 0; i < 3; i++) mesh->triangles[3 * m + (size_t)i] = of[t[i]];
        m++;
    }
    mesh->vertex_count = n;
    mesh->triangle_count = m;
}

pm_status pm_keep_largest(pm_mesh *mesh) {
    uint32_t *of = calloc(mesh->vertex_count + 1, sizeof *of);
    /* Each begins with three vertices; 0 is none. */
    label *labels = malloc((mesh->vertex_count / 3 + 1) * sizeof *labels);
    const pm_status status = of && labels ? PM_OK : PM_NO_MEMORY;
    if (status == PM_OK) {
        labels[0] = (label){0, 0};
        const uint32_t end = label_vertices(mesh, of, labels);
        const uint32_t root = find_largest(mesh, of, labels, end);
        if (labels[root].triangles < mesh->triangle_count) keep(mesh, root, labels, of);
    }
    free(of);
    free(labels);
    return status;
}
