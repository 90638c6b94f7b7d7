#include <cmath>
#include <cstdint>
#include <vector>

#include "check.h"
#include "closeness/closeness.h"

namespace {

void the_same_at_every_level() {
    constexpr int kItems = 30, kDim = 19, kRequests = 5, kLength = 21, kEach = 9;
    std::vector<float> content(kItems * kDim);
    for (size_t i = 0; i < content.size(); ++i) content[i] = std::sin(static_cast<float>(i));
    std::vector<int32_t> recent(kRequests * kLength);
    for (size_t i = 0; i < recent.size(); ++i) recent[i] = static_cast<int32_t>(i * 7 % (kItems + 1)) - 1;
    std::fill_n(recent.begin() + kLength, kLength, -1);
    std::vector<int64_t> offsets, item(kRequests * kEach);
    for (int b = 0; b <= kRequests; ++b) offsets.push_back(b * kEach);
    for (size_t i = 0; i < item.size(); ++i) item[i] = static_cast<int64_t>(i * 11 % kItems);
    std::vector<float> first;
    auto call = [&](int threads, std::vector<float>& out) {
        return hr_closeness(content.data(), kItems, kDim, recent.data(), kRequests, kLength, offsets.data(),
                            item.data(), kRequests * kEach, threads, out.data());
    };
    for (int level = HR_ISA_SCALAR; level <= HR_ISA_AMX; ++level) {
        if (!hr_isa_usable(level)) continue;
        CHECK(hr_set_isa(level) == HR_OK);
        std::vector<float> out(kRequests * kEach * 2, NAN);
        CHECK(call(2, out) == HR_OK);
        if (first.empty()) first = out;
        CHECK(out == first);
    }
    bool right = true;
    for (int i = 0; i < kRequests * kEach; ++i) {
        double mean = 0, most = -1e9;
        int there = 0;
        for (int r = 0; r < kLength; ++r) {
            const int32_t row = recent[i / kEach * kLength + r];
            if (row < 0) continue;
            double dot = 0;
            for (int d = 0; d < kDim; ++d) dot += double{content[item[i] * kDim + d]} * content[row * kDim + d];
            mean += dot;
            most = std::max(most, dot);
            ++there;
        }
        right &= std::abs(first[2 * i] - (there ? mean / there : 0)) < 1e-4;
        right &= std::abs(first[2 * i + 1] - (there ? most : 0)) < 1e-4;
    }
    CHECK(right);
    std::vector<float> out(kRequests * kEach * 2);
    item[3] = kItems;
    CHECK(call(1, out) == HR_INVALID);
    item[3] = 0;
    content[0] = NAN;
    CHECK(call(1, out) == HR_INVALID);
}

}  // namespace

int main() {
    the_same_at_every_level();
    return report("closeness");
}
