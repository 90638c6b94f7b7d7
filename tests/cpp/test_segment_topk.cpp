#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "segment_topk/segment_topk.h"

namespace {

void ties_go_to_the_lower_tie() {
    const std::vector<int64_t> offsets{0, 0, 5, 5, 8}, tie{9, 1, 5, 0, 5, 2, 1, 0};
    const std::vector<float> score{1, 1, 2, 0, 2, -0.0f, 0, NAN};
    std::vector<int64_t> index(8), kept(5);
    auto call = [&](const std::vector<int64_t>& o, int64_t nnz, int64_t k, int64_t room) {
        return hr_segment_topk(o.data(), static_cast<int64_t>(o.size()) - 1, score.data(), tie.data(), nnz, k, 2,
                               index.data(), room, kept.data());
    };
    CHECK(call({0, 0, 5, 5, 7}, 7, 3, 8) == HR_OK);
    CHECK((kept == std::vector<int64_t>{0, 0, 3, 3, 5}));
    CHECK((std::vector<int64_t>(index.begin(), index.begin() + 5) == std::vector<int64_t>{2, 4, 1, 6, 5}));
    CHECK(call(offsets, 8, 3, 8) == HR_INVALID);
    CHECK(std::string(hr_last_error()) == "score: expected numbers, got NaN at position 7");
    CHECK(call({0, 0, 5, 5, 7}, 7, 3, 4) == HR_INVALID);
    CHECK(call({0, 6, 5, 5, 7}, 7, 3, 8) == HR_INVALID);
    CHECK(call({0, 0, 5, 5, 7}, 7, 0, 8) == HR_INVALID);
    CHECK(call({0, 0, 5, 5, 7}, 7, INT64_MAX, 8) == HR_OK);
}

void long_segments_are_cut_down_first() {
    std::vector<float> score(20000);
    std::vector<int64_t> tie(score.size()), index(10), kept(2), offsets{0, static_cast<int64_t>(score.size())};
    for (size_t i = 0; i < score.size(); ++i) {
        score[i] = static_cast<float>(i * 7919 % 500);
        tie[i] = -static_cast<int64_t>(i);
    }
    CHECK(hr_segment_topk(offsets.data(), 1, score.data(), tie.data(), offsets[1], 10, 1, index.data(), 10,
                          kept.data()) == HR_OK);
    bool right = true;
    for (int i = 1; i < 10; ++i) right &= score[index[i]] == 499 && index[i] < index[i - 1];
    CHECK(right);
}

}  // namespace

int main() {
    ties_go_to_the_lower_tie();
    long_segments_are_cut_down_first();
    return report("segment_topk");
}
