/* Tell what is to be done with each block of texels of a row: what blend.c and band.c share. */

#ifndef PROTOME_TASKS_H
#define PROTOME_TASKS_H

#include <stddef.h>
#include <stdint.h>

/* Channels of a node of the trace; SPOT: how many. */
enum { X, Y, WEIGHT, SPOT };

/* What the cells around a block of texels say of it: no photo, the photo alone, or both. */
enum { FILL, COPY, MIX, KIND = 3 };
/* What has to be done with the block of the photo besides: read it, find its detail, weigh it. */
enum { READ = 4, DETAIL = 8, WEIGH = 16 };

/* Set the kind of each block, from the plan's two rows of cells around it. */
void tx_set_kinds(const float *const rows[2], size_t cells, uint8_t *kinds);

/* Least and largest weight of the nodes around each block. */
void tx_set_range(const float *row, size_t cells, size_t nodes, float *range);

/* Whether blocks between two rows of nodes show the photo, and so well that all counts. */
void tx_set_shown(const float *above, const float *below, size_t cells, uint8_t *shown);

/* Complete what is to be done with each block, from its kind and how well it is shown. */
void tx_set_tasks(const uint8_t *kinds, const uint8_t *shown, size_t cells, uint8_t *tasks);

#endif
