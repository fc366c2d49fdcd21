/* Runs the kernel over random volumes and checks every number it gives; for the sanitizers.
 *
 * The kernel is included as it is, with an allocator that can be told to fail.
 * Usage: fuzz ROUNDS SEED
 *
 * With coverage to guide it, from the root of a checkout:
 *   clang -g -O1 -DLIBFUZZER -fsanitize=fuzzer,address,undefined -Iservice/protome/mesh/kernel \
 *       tests/unit/mesh/fuzz_marching_cubes.c -lm -o fuzz && ./fuzz -max_total_time=28800 -max_len=4096
 */

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long allocations_left = -1;

static int refuse(void) {
    if (allocations_left < 0) return 0;
    return allocations_left-- == 0;
}
static void *test_malloc(size_t size) { return refuse() ? NULL : malloc(size); }
static void *test_calloc(size_t n, size_t size) { return refuse() ? NULL : calloc(n, size); }
static void *test_realloc(void *old, size_t size) { return refuse() ? NULL : realloc(old, size); }

#define malloc test_malloc
#define calloc test_calloc
#define realloc test_realloc
#include "marching_cubes.c"
#undef malloc
#undef calloc
#undef realloc

static void check(const mc_mesh *mesh, const size_t shape[3], const float voxel[3]) {
    for (size_t i = 0; i < 3 * mesh->triangle_count; i++)
        assert(mesh->triangles[i] < mesh->vertex_count);
    for (size_t v = 0; v < mesh->vertex_count; v++) {
        float square = 0;
        for (int i = 0; i < 3; i++) {
            const float x = mesh->vertices[3 * v + i] / voxel[2 - i];
            assert(x > -0.5F && x < (float)shape[2 - i] + 0.5F);
            square += mesh->normals[3 * v + i] * mesh->normals[3 * v + i];
        }
        assert(fabsf(square - 1) < 1e-3F);
    }
}

static const float VOXEL[3] = {1.0F, 0.25F, 3.0F};

static void run(const uint8_t *volume, const size_t shape[3], int largest) {
    mc_mesh mesh;
    assert(mc_extract(volume, shape, VOXEL, largest, &mesh) == MC_OK);
    check(&mesh, shape, VOXEL);
    const size_t triangles = mesh.triangle_count;
    mc_free(&mesh);
    /* Without memory at any one point it gives up cleanly. */
    for (long failing = 0;; failing++) {
        allocations_left = failing;
        const mc_status status = mc_extract(volume, shape, VOXEL, 1, &mesh);
        const int enough = allocations_left >= 0;
        allocations_left = -1;
        if (status == MC_OK) {
            assert(enough || triangles == 0);
            mc_free(&mesh);
            break;
        }
        assert(status == MC_NO_MEMORY && !mesh.vertices && !mesh.normals && !mesh.triangles);
    }
}

#ifdef LIBFUZZER

/* Three sides, whether to keep the largest piece only, and the samples, over again if too few. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int prepared;
    if (!prepared) mc_prepare();
    prepared = 1;
    if (size < 5) return 0;
    const size_t shape[3] = {data[0] % 20, data[1] % 20, data[2] % 70};
    const size_t n = shape[0] * shape[1] * shape[2];
    uint8_t *volume = malloc(n ? n : 1);
    for (size_t i = 0; i < n; i++) volume[i] = data[4 + i % (size - 4)];
    run(volume, shape, data[3] & 1);
    free(volume);
    return 0;
}

#else

static uint64_t state;

static uint32_t draw(uint32_t below) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)((state >> 33) % below);
}

static uint8_t *random_volume(const size_t shape[3]) {
    const size_t n = shape[0] * shape[1] * shape[2];
    /* A buffer of the exact size, so that a read past it is seen. */
    uint8_t *volume = malloc(n ? n : 1);
    const uint32_t kind = draw(5);
    for (size_t i = 0; i < n; i++) {
        switch (kind) {
        case 0: volume[i] = (uint8_t)draw(256); break;
        case 1: volume[i] = draw(2) ? 128 : 127; break;
        case 2: volume[i] = draw(50) ? 0 : 255; break;
        case 3: volume[i] = draw(50) ? 255 : 0; break;
        default: volume[i] = 255;
        }
    }
    return volume;
}

static void fuzz(void) {
    static const size_t longest[] = {1, 2, 5, 20, 70, 200};
    size_t shape[3], n = 1;
    for (int a = 0; a < 3; a++) {
        shape[a] = draw(12) ? 1 + draw((uint32_t)longest[draw(6)]) : draw(3);
        if (n * shape[a] > 10000) shape[a] = 1;
        n *= shape[a];
    }
    uint8_t *volume = random_volume(shape);
    run(volume, shape, (int)draw(2));
    free(volume);
}

static void refuse_sizes(void) {
    static const size_t huge[][3] = {{SIZE_MAX, SIZE_MAX, SIZE_MAX},
                                     {SIZE_MAX / 2 + 1, 2, 1},
                                     {1, (size_t)1 << 31, 2},
                                     {1, 1, SIZE_MAX},
                                     {2000, 2000, 2000},
                                     {(size_t)1 << 33, (size_t)1 << 33, (size_t)1 << 33}};
    const float voxel[3] = {1, 1, 1};
    mc_mesh mesh;
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++)
        assert(mc_extract(NULL, huge[i], voxel, 1, &mesh) == MC_TOO_LARGE);
    const size_t none[3] = {0, SIZE_MAX, SIZE_MAX};
    assert(mc_extract(NULL, none, voxel, 1, &mesh) == MC_OK && mesh.triangle_count == 0);
}

int main(int argc, char **argv) {
    assert(argc == 3);
    const long rounds = strtol(argv[1], NULL, 10);
    state = strtoull(argv[2], NULL, 10);
    mc_prepare();
    refuse_sizes();
    for (long i = 0; i < rounds; i++) fuzz();
    printf("%ld volumes\n", rounds);
    return 0;
}

#endif
