/* Estimate the light on a head; see mesh/colour/light.py, which does the same in NumPy. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../wide.h"
#include "grid.h"
#include "plan.h"

/* As in light.py. */
static const double RIDGE = 0.01, BELIEVED[3] = {1.0, 0.8, 0.8};
static const float OUTLIER = 0.1F, MOST = 0.9F;
enum { ROUNDS = 3, FEWEST = 20 };

/* Cells of seen skin. */
typedef struct {
    float *facing[3], *bright, *weight;
    size_t count;
} tx_skin;

/* Brightness that is linear in the direction: ``mean`` at ``middle``. */
typedef struct {
    double middle[3], mean, slope[3];
} tx_fit;

/* Solve ``a x = b`` for a symmetric, positive definite matrix. */
static void solve(double a[3][3], const double b[3], double x[3]) {
    double minors[3][3], determinant = 0;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            const int p = (i + 1) % 3, q = (i + 2) % 3, r = (j + 1) % 3, s = (j + 2) % 3;
            minors[i][j] = a[p][r] * a[q][s] - a[p][s] * a[q][r];
        }
    for (int j = 0; j < 3; j++) determinant += a[0][j] * minors[0][j];
    for (int i = 0; i < 3; i++) {
        x[i] = 0;
        for (int j = 0; j < 3; j++) x[i] += minors[i][j] * b[j] / determinant;
    }
}

static tx_fit fit(const tx_skin *skin) {
    tx_fit out;
    /* Sums of weight times 1, direction, brightness and their products. */
    double total = 0, bright = 0, first[3] = {0}, pull[3] = {0}, second[3][3] = {{0}};
    for (size_t k = 0; k < skin->count; k++) {
        const double weight = (double)skin->weight[k], value = (double)skin->bright[k];
        total += weight, bright += weight * value;
        for (int i = 0; i < 3; i++) {
            const double along = weight * (double)skin->facing[i][k];
            first[i] += along, pull[i] += along * value;
            for (int j = 0; j <= i; j++) second[i][j] += along * (double)skin->facing[j][k];
        }
    }
    out.mean = bright / total;
    for (int i = 0; i < 3; i++) {
        out.middle[i] = first[i] / total;
        pull[i] -= first[i] * out.mean;
        for (int j = 0; j <= i; j++) second[j][i] = second[i][j] -= first[i] * first[j] / total;
    }
    for (int i = 0; i < 3; i++) second[i][i] += RIDGE * (double)skin->count;
    solve(second, pull, out.slope);
    return out;
}

/* What brows, beard, shine and cast shadows are outliers of. */
static WIDE void weigh(const tx_skin *skin, const tx_fit *fitted) {
    const float slope[3] = {(float)fitted->slope[0], (float)fitted->slope[1],
                            (float)fitted->slope[2]};
    double at = fitted->mean;
    for (int i = 0; i < 3; i++) at -= fitted->slope[i] * fitted->middle[i];
    const float start = (float)at;
    for (size_t k = 0; k < skin->count; k++) {
        const float expected = start + slope[0] * skin->facing[0][k] +
                               slope[1] * skin->facing[1][k] + slope[2] * skin->facing[2][k];
        const float apart = fabsf(skin->bright[k] - expected);
        skin->weight[k] = OUTLIER / (apart > OUTLIER ? apart : OUTLIER);
    }
}

void tx_light(const tx_cells *cells, float *const colours[3], const float *own, float *room,
              float *light) {
    const size_t count = cells->side * cells->side;
    tx_skin skin = {{room, room + count, room + 2 * count}, room + 3 * count, room + 4 * count, 0};
    for (size_t k = 0; k < count; k++) {
        if (cells->groups[k] != TX_SKIN || !(own[k] > 0.5F)) continue;
        const size_t at = skin.count++;
        for (size_t i = 0; i < 3; i++) skin.facing[i][at] = cells->facing[3 * k + i];
        skin.bright[at] = logf((colours[0][k] + TX_FLOOR) * (colours[1][k] + TX_FLOOR) *
                               (colours[2][k] + TX_FLOOR)) / 3;
        skin.weight[at] = 1;
    }
    memset(light, 0, count * sizeof *light);
    if (skin.count < FEWEST) return;
    tx_fit fitted = fit(&skin);
    for (int round = 1; round < ROUNDS; round++) {
        weigh(&skin, &fitted);
        fitted = fit(&skin);
    }
    float slope[3], start = 0;
    for (int i = 0; i < 3; i++) {
        slope[i] = (float)(fitted.slope[i] * BELIEVED[i]);
        start -= slope[i] * (float)fitted.middle[i];
    }
    for (size_t k = 0; k < count; k++) {
        const float *facing = cells->facing + 3 * k;
        const float value = start + slope[0] * facing[0] + slope[1] * facing[1] +
                            slope[2] * facing[2];
        light[k] = value < -MOST ? -MOST : value > MOST ? MOST : value;
    }
}

int tx_facing(const float *vertices, const int32_t *corners, size_t side, float *facing) {
    const size_t count = side * side;
    float *coarse = malloc(7 * count * sizeof *coarse), *fine = coarse + 3 * count;
    if (!coarse) return 0;
    for (size_t k = 0; k < count; k++, corners += 3) {
        const float *a = vertices + 3 * (size_t)corners[0];
        const float *b = vertices + 3 * (size_t)corners[1];
        const float *c = vertices + 3 * (size_t)corners[2];
        const float u[3] = {b[0] - a[0], b[1] - a[1], b[2] - a[2]};
        const float v[3] = {c[0] - a[0], c[1] - a[1], c[2] - a[2]};
        const float cross[3] = {u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2],
                                u[0] * v[1] - u[1] * v[0]};
        const float size =
            sqrtf(cross[0] * cross[0] + cross[1] * cross[1] + cross[2] * cross[2]);
        for (size_t i = 0; i < 3; i++)
            coarse[count * i + k] = cross[i] / (size > 1e-9F ? size : 1e-9F);
    }
    for (size_t i = 0; i < 3; i++) {
        gr_enlarge(coarse + count * i, side, fine);
        for (size_t k = 0; k < 4 * count; k++) facing[3 * k + i] = fine[k];
    }
    free(coarse);
    return 1;
}
