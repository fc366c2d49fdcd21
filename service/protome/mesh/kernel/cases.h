/* The triangles of each case of marching cubes. */

#ifndef PROTOME_CASES_H
#define PROTOME_CASES_H

#include <stdint.h>

enum { MOST_TRIANGLES = 5 }; /* of a case; mc_prepare never makes more */

typedef struct {
    uint8_t count;                     /* of triangles */
    uint8_t edges[3 * MOST_TRIANGLES]; /* of their corners, counter-clockwise from outside */
} mc_case;

/* By the bits of the corners that are inside. */
extern mc_case mc_cases[256];

/* Fills the table; call it once before anything else. */
void mc_prepare(void);

#endif
