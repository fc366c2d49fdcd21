/* Marching cubes on the union of head and hair. */

#ifndef PROTOME_CUBES_H
#define PROTOME_CUBES_H

#include "compose.h"

/* Extracts all pieces of the surface; ``mesh`` is empty before.
 *
 * Arrays stay with the mesh in any case.
 */
pm_status pm_extract(const pm_input *input, const pm_lattice *lattice, const pm_scan *scan,
                     const pm_hair *hair, const pm_hair_scan *hair_scan, pm_mesh *mesh);

#endif
