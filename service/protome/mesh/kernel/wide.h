/* WIDE: compile a function for processors with AVX2 too, chosen when the module is loaded. Its
   results are the same: AVX2 does not fuse products and sums. */

#ifndef PROTOME_WIDE_H
#define PROTOME_WIDE_H

#include <stddef.h> /* defines __GLIBC__ where it is */

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

#endif
