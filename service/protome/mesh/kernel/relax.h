/* Even spacing of the vertices of a composed surface. */

#ifndef PROTOME_RELAX_H
#define PROTOME_RELAX_H

#include "compose.h"

/* Moves each vertex along the surface towards the middle of its neighbours, ``rounds`` times.
 *
 * normals: of the head's vertices. The vertices stay on the head's triangles or on the hair's
 * surface.
 */
pm_status pm_relax(const pm_head *head, const float *normals, const pm_hair *hair, int step,
                   int rounds, pm_mesh *mesh);

#endif
