/* Runs the kernel over random heads and hair and checks all that it gives; for the sanitizers.
 *
 * The kernel is compiled with an allocator that can be told to fail:
 *   cc -fsanitize=address,undefined -Dmalloc=test_malloc -Dcalloc=test_calloc \
 *       -Drealloc=test_realloc -Iservice/protome/mesh/kernel/shape \
 *       tests/unit/mesh/shape/fuzz_compose.c \
 *       service/protome/mesh/kernel/shape/{cases,compose,crossings,cubes,guard,hair}.c \
 *       service/protome/mesh/kernel/shape/{hair_scan,head,pieces,relax,vertices}.c -lm -o fuzz
 *
 * Usage: fuzz ROUNDS SEED
 */

#undef malloc
#undef calloc
#undef realloc

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "compose.h"

static long allocations_left = -1;

static int refuse(void) {
    if (allocations_left < 0) return 0;
    return allocations_left-- == 0;
}
void *test_malloc(size_t size) { return refuse() ? NULL : malloc(size); }
void *test_calloc(size_t n, size_t size) { return refuse() ? NULL : calloc(n, size); }
void *test_realloc(void *old, size_t size) { return refuse() ? NULL : realloc(old, size); }

static uint64_t state;

static uint32_t draw(uint32_t below) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)((state >> 33) % below);
}

/* ---- checks */

static int compare(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Every edge is used exactly once in each direction. */
static void check_closed(const pm_mesh *mesh) {
    const size_t n = 3 * mesh->triangle_count;
    uint64_t *forth = malloc((n + 1) * sizeof *forth), *back = malloc((n + 1) * sizeof *back);
    for (size_t e = 0; e < n; e++) {
        const uint64_t a = mesh->triangles[e], b = mesh->triangles[e % 3 == 2 ? e - 2 : e + 1];
        assert(a < mesh->vertex_count && a != b);
        forth[e] = a << 32 | b;
        back[e] = b << 32 | a;
    }
    qsort(forth, n, sizeof *forth, compare);
    qsort(back, n, sizeof *back, compare);
    for (size_t e = 0; e < n; e++) {
        assert(forth[e] == back[e]);
        assert(e == 0 || forth[e] != forth[e - 1]);
    }
    free(forth);
    free(back);
}

static double distance_from_source(const pm_input *input, const pm_mesh *mesh, size_t v) {
    const int32_t *corners = input->head.faces[mesh->source[v]].corners;
    const double second = mesh->weights[2 * v], third = mesh->weights[2 * v + 1];
    double square = 0;
    for (int a = 0; a < 3; a++) {
        const double place = (1 - second - third) * input->head.vertices[3 * corners[0] + a] +
                             second * input->head.vertices[3 * corners[1] + a] +
                             third * input->head.vertices[3 * corners[2] + a];
        square += pow(place - mesh->places[v][a], 2);
    }
    return sqrt(square);
}

static void check(const pm_input *input, const pm_mesh *mesh, int closed) {
    check_closed(mesh);
    for (size_t v = 0; v < mesh->vertex_count; v++) {
        double square = 0, sum = 0;
        for (int a = 0; a < 3; a++) {
            assert(isfinite(mesh->places[v][a]));
            square += pow(mesh->normals[v][a], 2);
        }
        assert(fabs(square - 1) < 1e-3);
        assert(mesh->source[v] >= -1 && mesh->source[v] < (int32_t)input->head.triangle_count);
        for (int i = 0; i < 2; i++) {
            assert(mesh->weights[2 * v + i] > -1e-3F && mesh->weights[2 * v + i] < 1.001F);
            sum += mesh->weights[2 * v + i];
        }
        assert(sum < 1.001);
        if (mesh->source[v] < 0) assert(sum == 0);
        /* Vertices are rounded, kept from the ends of their edges, and exact otherwise. */
        else if (closed)
            assert(distance_from_source(input, mesh, v) <
                   0.01 * input->step + 0.02 + 3e-7 * fabs((double)mesh->places[v][0]));
    }
}

static void run(const pm_input *input, int closed) {
    pm_mesh mesh;
    const pm_status found = pm_compose(input, &mesh);
    const size_t triangles = mesh.triangle_count;
    assert(found != PM_NO_MEMORY);
    if (found == PM_OK) check(input, &mesh, closed);
    pm_free_mesh(&mesh);
    /* Without memory at any one point it gives up cleanly. */
    for (long failing = 0;; failing++) {
        allocations_left = failing;
        const pm_status status = pm_compose(input, &mesh);
        const int enough = allocations_left >= 0;
        allocations_left = -1;
        if (status == PM_NO_MEMORY) {
            assert(!mesh.places && !mesh.normals && !mesh.triangles && !mesh.source);
            continue;
        }
        assert(status == found && mesh.triangle_count == triangles && enough);
        pm_free_mesh(&mesh);
        break;
    }
}

/* ---- random heads and hair */

static float coordinate(int kind, int large) {
    static const float absurd[] = {NAN, INFINITY, -INFINITY, 3e38F, 1e6F, -1e-40F, 481.0F};
    switch (kind) {
    case 0: return (float)draw(60) / 2;                         /* on nodes and between them */
    case 1: return (float)draw(30000) / 1000 - 10;
    case 2: return 500000 + (float)draw(30);
    case 3: return draw(60) ? (float)draw(30) : absurd[draw(7)];
    case 4: return (float)draw(2) * 3;
    default: return (float)draw(100) * (large ? 4.8F : 0.6F);
    }
}

/* The triangle on the other side of an edge; -1: none. */
static int32_t across(const pm_face *faces, size_t count, size_t t, int i) {
    const int32_t *ours = faces[t].corners;
    for (size_t k = 0; k < count; k++)
        for (int j = 0; j < 3; j++)
            if (faces[k].corners[j] == ours[(i + 1) % 3] && faces[k].corners[(j + 1) % 3] == ours[i])
                return (int32_t)k;
    return -1;
}

/* Tetrahedra or octahedra, whose corners are anywhere: closed, but wound and turned as it comes. */
static void closed_head(float *vertices, pm_face *faces, pm_input *input) {
    pm_head *head = &input->head;
    static const int32_t four[] = {0, 2, 1, 0, 1, 3, 1, 2, 3, 2, 0, 3};
    static const int32_t eight[] = {0, 2, 4, 2, 1, 4, 1, 3, 4, 3, 0, 4,
                                    2, 0, 5, 1, 2, 5, 3, 1, 5, 0, 3, 5};
    const uint32_t solids = draw(8);
    for (uint32_t s = 0; s < solids; s++) {
        const int large = (int)draw(2), kind = (int)draw(6);
        const int32_t base = (int32_t)head->vertex_count;
        for (int i = 0; i < (large ? 24 : 12); i++)
            faces[head->triangle_count + (size_t)i / 3].corners[i % 3] =
                base + (large ? eight : four)[i];
        for (int i = 0; i < (large ? 18 : 12); i++)
            vertices[3 * head->vertex_count + (size_t)i] = coordinate(kind, input->step == 4);
        head->triangle_count += large ? 8 : 4;
        head->vertex_count += large ? 6 : 4;
    }
    for (size_t t = 0; t < head->triangle_count; t++)
        for (int i = 0; i < 3; i++) faces[t].next[i] = across(faces, head->triangle_count, t, i);
}

static void open_head(float *vertices, pm_face *faces, pm_input *input) {
    pm_head *head = &input->head;
    const int kind = (int)draw(5);
    head->vertex_count = 1 + draw(20);
    head->triangle_count = draw(40);
    for (size_t i = 0; i < 3 * head->vertex_count; i++) vertices[i] = coordinate(kind, input->step == 4);
    for (size_t i = 0; i < 3 * head->triangle_count; i++) {
        faces[i / 3].corners[i % 3] = (int32_t)draw((uint32_t)head->vertex_count);
        faces[i / 3].next[i % 3] = (int32_t)draw((uint32_t)head->triangle_count + 1) - 1;
    }
}

static void *copy(const void *from, size_t size) {
    /* A buffer of the exact size, so that a read past it is seen. */
    void *to = malloc(size ? size : 1);
    memcpy(to, from, size);
    return to;
}

static void fuzz(void) {
    static float vertices[200], guard[64];
    static pm_face faces[100];
    static uint8_t hair[24 * 24 * 24];
    static const int steps[] = {1, 2, 4};
    pm_input input = {.step = steps[draw(3)], .rounds = (int)draw(4)};
    const int closed = draw(4) != 0;
    (closed ? closed_head : open_head)(vertices, faces, &input);
    size_t cells = 1;
    for (int a = 0; a < 3; a++) cells *= input.cells[a] = draw(30) ? 4 + draw(8) : 4 + draw(20);
    const uint32_t kind = draw(6), seldom = 1 + draw(40);
    for (size_t c = 0; c < cells; c++) {
        switch (kind) {
        case 0: hair[c] = 0; break;
        case 1: hair[c] = (uint8_t)draw(256); break;
        case 2: hair[c] = draw(2) ? 128 : 127; break;
        case 3: hair[c] = draw(seldom) ? 0 : 255; break;
        case 4: hair[c] = draw(seldom) ? 255 : 0; break;
        default: hair[c] = 255;
        }
    }
    for (size_t v = 0; v < input.head.vertex_count; v++)
        guard[v] = draw(30) ? (float)draw(5) / 4 : coordinate(3, 0);
    input.head.vertices = copy(vertices, 3 * input.head.vertex_count * sizeof *vertices);
    input.head.faces = copy(faces, input.head.triangle_count * sizeof *faces);
    input.guard = copy(guard, input.head.vertex_count * sizeof *guard);
    input.hair = copy(hair, cells);
    run(&input, closed);
    free((void *)input.head.vertices);
    free((void *)input.head.faces);
    free((void *)input.guard);
    free((void *)input.hair);
}

int main(int argc, char **argv) {
    assert(argc == 3);
    const long rounds = strtol(argv[1], NULL, 10);
    state = strtoull(argv[2], NULL, 10);
    mc_prepare();
    for (long i = 0; i < rounds; i++) fuzz();
    printf("%ld heads\n", rounds);
    return 0;
}
