// Keeps the compiler from being cleverer than a measurement wants. In an unnamed namespace, see core/simd.h.
#pragma once

namespace hr {
namespace {

// Makes the compiler forget what it knows of x, at no cost: chains that start equal are not joined, and products of
// constants are not computed once before the loop.
template <class V>
inline void forget(V& x) {
#if defined(__x86_64__)
    asm volatile("" : "+x"(x));
#elif defined(__aarch64__)
    asm volatile("" : "+w"(x));
#else
    asm volatile("" : "+m"(x));
#endif
}

template <class V, int kCount>
inline void forget_all(V (&values)[kCount]) {
    for (V& x : values) forget(x);
}

}  // namespace
}  // namespace hr
