/* Even spacing of the vertices of a composed surface. */

#ifndef PROTOME_RELAX_H
#define PROTOME_RELAX_H

#include "compose.h"

/* Moves each vertex along the surface towards the middle of its neighbours, ``rounds`` times.
 *
 * The vertices stay on the head's triangles or on the hair's surface.
 */
pm_status pm_relax(const pm_head *head, const pm_scan *scan, const pm_hair *hair, int step,
                   int rounds, pm_mesh *mesh);

#endif
