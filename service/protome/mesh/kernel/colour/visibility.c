/* Decide how well the photo shows each vertex, from depth maps and from where it faces. */

#include <math.h>
#include <string.h>

#include "texture.h"

/* Cosine of the angle between normal and camera direction below which the photo is not used, and
   above which it is used alone; width of the strip along the outline that is not used, cells: more
   of skin, whose colours do not tell it from the background as well as those of hair do. */
typedef struct {
    float oblique, facing, rim;
} tx_limits;
static const tx_limits SKIN = {0.08F, 0.3F, 2}, HAIR = {0.05F, 0.2F, 0.8F};
/* Width of the next strip, over which visibility rises to full, cells. */
static const float RISE = 1;
/* Depth tolerance of the visibility test, cells; what lies so much nearer within EDGE cells hides a
   point as well, because pixels at an outline mix both. */
static const float SLACK = 3, EDGE = 2;
/* Skin under less than so much hair, cells, shows the hair of the photo: where hair ends is not
   exact, so it goes on there. */
static const float UNDER = 20;
/* Width of the strip along the photo's border that is not used, and of the next one, cells. */
static const float RIM = 2;

static size_t cell_of(float value, size_t side) {
    return value > 0 ? (value < (float)side ? (size_t)value : side - 1) : 0;
}

/* Distance from the photo's border, negative outside. */
static float from_border(const tx_depths *depths, const float *at) {
    float out = INFINITY;
    const float *line = depths->sides;
    for (size_t k = 0; k < depths->side_count; k++, line += 3) {
        const float away = line[0] * at[0] + line[1] * at[1] + line[2];
        out = away < out ? away : out;
    }
    return out;
}

static float clipped(float value, float low, float high) {
    return value < low ? low : value > high ? high : value;
}

/* Whether a depth is within a tolerance and ``steps`` cells of a surface: one that is turned by
   ``cosine`` spans sqrt(1 - cosine^2) / cosine within a cell. */
static int is_near(float depth, float tolerance, float steps, float cosine) {
    const float beyond = depth - tolerance, scaled = beyond * cosine;
    return beyond <= 0 || scaled * scaled <= steps * steps * (1 - cosine * cosine);
}

/* Whether something lies before a point, which is seen at ``cosine``. */
static int is_hidden(const float *at, float cosine, size_t cell, const tx_depths *depths) {
    const float head = depths->head[cell], hair = depths->hair[cell], z = at[2];
    const float head_around = depths->head_around[cell], hair_around = depths->hair_around[cell];
    if (!is_near(z - head_around, 3 * SLACK, EDGE + 2, cosine)) return 1;
    if (depths->bare)
        return hair < head ? z - hair > UNDER : !is_near(z - head, SLACK, 1.5F, cosine);
    return !is_near(z - hair_around, 3 * SLACK, EDGE + 2, cosine) ||
           !is_near(z - (head < hair ? head : hair), SLACK, 1.5F, cosine);
}

static float weight_at(const float *at, float facing, const tx_depths *depths) {
    const tx_limits *limits = depths->bare ? &SKIN : &HAIR;
    if (!(facing > limits->oblique)) return 0;
    const size_t cell =
        depths->side * cell_of(at[1], depths->side) + cell_of(at[0], depths->side);
    const float rim = (depths->inside[cell] - limits->rim) / RISE;
    const float border = from_border(depths, at) / RIM - 1;
    if (!(rim > 0) || !(border > 0)) return 0;
    if (is_hidden(at, facing < 1 ? facing : 1, cell, depths)) return 0;
    const float turned = (facing - limits->oblique) / (limits->facing - limits->oblique);
    return (turned < 1 ? turned : 1) * (rim < 1 ? rim : 1) * (border < 1 ? border : 1);
}

void tx_seen(const float *vertices, const float *normals, const uint32_t *which, size_t count,
             const tx_depths *depths, float *seen) {
    const float share = 1 / (float)depths->side;
    for (size_t k = 0; k < count; k++, seen += 3) {
        const float *at = vertices + 3 * (size_t)which[k];
        seen[0] = clipped(share * at[0], -1, 2);
        seen[1] = clipped(share * at[1], -1, 2);
        seen[2] = weight_at(at, -normals[3 * (size_t)which[k] + 2], depths);
    }
}

void tx_normals(const float *vertices, size_t count, const int32_t *triangles,
                size_t triangle_count, float *normals) {
    memset(normals, 0, 3 * count * sizeof *normals);
    for (size_t t = 0; t < triangle_count; t++, triangles += 3) {
        const float *a = vertices + 3 * (size_t)triangles[0];
        const float *b = vertices + 3 * (size_t)triangles[1];
        const float *c = vertices + 3 * (size_t)triangles[2];
        const float u[3] = {b[0] - a[0], b[1] - a[1], b[2] - a[2]};
        const float v[3] = {c[0] - a[0], c[1] - a[1], c[2] - a[2]};
        const float cross[3] = {u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2],
                                u[0] * v[1] - u[1] * v[0]};
        for (int k = 0; k < 3; k++) {
            float *out = normals + 3 * (size_t)triangles[k];
            for (int axis = 0; axis < 3; axis++) out[axis] += cross[axis];
        }
    }
    for (size_t k = 0; k < count; k++, normals += 3) {
        const float square =
            normals[0] * normals[0] + normals[1] * normals[1] + normals[2] * normals[2];
        const float scale = square > 0 ? 1 / sqrtf(square) : 0;
        for (int axis = 0; axis < 3; axis++) normals[axis] *= scale;
    }
}
