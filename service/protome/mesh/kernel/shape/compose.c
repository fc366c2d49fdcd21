/* Compose the surface of the union of head and hair.
 *
 * Field coordinates are numbers of nodes of the lattice.
 */

#include "compose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cubes.h"
#include "relax.h"

static int box_of(const pm_head *head, double low[3], double high[3]) {
    const float furthest = FURTHEST, none = INFINITY;
    pm_four least = {none, none, none, none}, most = -least;
    pm_four_ints within = {-1, -1, -1, -1};
    for (size_t v = 0; v < head->vertex_count; v++) {
        const float *at = head->vertices + 3 * v;
        const pm_four place = {at[0], at[1], at[2], 0};
        within &= (place <= furthest) & (place >= -furthest);
        least = smaller(place, least);
        most = -smaller(-place, -most);
    }
    for (int a = 0; a < 3; a++) {
        low[a] = least[a];
        high[a] = most[a];
    }
    return within[0] & within[1] & within[2];
}

/* PM_BAD_SHAPE as for pm_compose; a lattice of size 0 where there is nothing. */
static pm_status make_lattice(const pm_input *input, const pm_hair *hair, pm_lattice *lattice) {
    const ptrdiff_t nodes = HAIR_CELL / input->step;
    double low[3], high[3];
    memset(lattice, 0, sizeof *lattice);
    lattice->step = input->step;
    if (!box_of(&input->head, low, high)) return PM_BAD_SHAPE;
    if (!input->head.vertex_count && !hair->values) return PM_OK;
    for (int a = 0; a < 3; a++) {
        if (hair->values) {
            low[a] = fmin(low[a], (double)(hair->low[a] * HAIR_CELL));
            high[a] = fmax(high[a], (double)(hair->high[a] * HAIR_CELL));
        }
        if (high[a] - low[a] > LONGEST_BOX) return PM_BAD_SHAPE;
        lattice->origin[a] = (ptrdiff_t)floor(low[a] / input->step - 0.5) - 1;
        const ptrdiff_t last = (ptrdiff_t)ceil(high[a] / input->step - 0.5) + 1;
        /* Cells of hair begin at a whole number of them. */
        lattice->origin[a] -= (lattice->origin[a] % nodes + nodes) % nodes;
        lattice->size[a] = (size_t)(last - lattice->origin[a]) + 1;
    }
    lattice->words = (lattice->size[0] + LANES - 1) / LANES;
    lattice->stride = lattice->words * LANES;
    return PM_OK;
}

static pm_status compose_on(const pm_input *input, const pm_hair *hair, const pm_lattice *lattice,
                            pm_mesh *mesh) {
    pm_scan scan;
    pm_hair_scan hair_scan;
    pm_status status = pm_scan_head(&input->head, lattice, &scan);
    if (status != PM_OK) return status;
    status = pm_scan_hair(hair, lattice, &hair_scan);
    if (status == PM_OK) status = pm_extract(input, lattice, &scan, hair, &hair_scan, mesh);
    if (status == PM_OK && mesh->triangle_count) status = pm_keep_largest(mesh);
    if (status == PM_OK && input->rounds)
        status = pm_relax(&input->head, &scan, hair, input->step, input->rounds, mesh);
    pm_free_hair_scan(&hair_scan);
    pm_free_scan(&scan);
    return status;
}

pm_status pm_compose(const pm_input *input, pm_mesh *mesh) {
    pm_hair hair;
    pm_lattice lattice;
    memset(mesh, 0, sizeof *mesh);
    pm_status status = pm_make_hair(input->hair, input->cells, &input->head, input->guard, &hair);
    if (status != PM_OK) return status;
    status = make_lattice(input, &hair, &lattice);
    if (status == PM_OK && lattice.words) status = compose_on(input, &hair, &lattice, mesh);
    pm_free_hair(&hair);
    if (status != PM_OK || !mesh->triangle_count) pm_free_mesh(mesh);
    return status;
}

void pm_free_mesh(pm_mesh *mesh) {
    free(mesh->places);
    free(mesh->normals);
    free(mesh->source);
    free(mesh->weights);
    free(mesh->triangles);
    memset(mesh, 0, sizeof *mesh);
}
