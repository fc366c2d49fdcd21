/* Where the head's surface crosses the lines of the lattice. */

#ifndef PROTOME_CROSSINGS_H
#define PROTOME_CROSSINGS_H

#include "head.h"

/* Most candidates and comparisons; a head takes one or two million at FINE. */
#define MOST_WORK 40000000L

/* Adds the hits of the lines along all axes to ``scan``, in no order. PM_BAD_SHAPE: see above. */
pm_status pm_find_hits(const pm_head *head, const pm_lattice *lattice, pm_scan *scan);

#endif
