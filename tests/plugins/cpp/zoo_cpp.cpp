// A plugin in C++ over libtorch itself: a masker that hides each token with some probability, with
// random numbers from the host's streams, so that they are the same however a batch is split.
#include "zoo_plugin.h"
#include <ATen/ATen.h>
#include <cstring>
#include <string>

#define META "{\"name\":\"zoo-cpp\",\"version\":\"1.0.0\",\"abi\":\"1.0\",\"entry\":\"zoo_plugin_v1_zoo_cpp\"," \
    "\"libtorch\":\"" ZOO_LIBTORCH "\",\"compiler\":\"c++\",\"target\":\"" ZOO_TARGET "\",\"panic\":\"unwind\"}"
#define SCHEMA "{\"name\":\"cpp.hide\",\"kind\":\"masker\",\"summary\":\"Hides tokens at random.\",\"params\":[" \
    "{\"name\":\"rate\",\"type\":\"fraction\",\"default\":0.15,\"varies\":true,\"doc\":\"Probability that a token is hidden.\"}," \
    "{\"name\":\"mask\",\"type\":\"int\",\"default\":103,\"doc\":\"The id that stands in its place.\"}]," \
    "\"in\":[{\"name\":\"ids\",\"type\":\"int[B, T]\",\"doc\":\"token ids\"}]," \
    "\"out\":[{\"name\":\"ids\",\"type\":\"int[B, T]\",\"doc\":\"token ids with some hidden\"}," \
    "{\"name\":\"hidden\",\"type\":\"bool[B, T]\",\"doc\":\"true where one is hidden\"}," \
    "{\"name\":\"positions\",\"type\":\"int[M]\",\"doc\":\"flat places b * T + t of the hidden ones\"}," \
    "{\"name\":\"labels\",\"type\":\"int[M]\",\"doc\":\"the tokens that were there\"}]," \
    "\"effects\":{\"random\":true,\"loader\":true},\"examples\":[\"masker hide = cpp.hide(rate: 25%)\"]}"

namespace {
__attribute__((section(".zoo_meta"), used)) const char meta[sizeof(META)] = META;
struct Frame {
    uint32_t length;
    char json[(sizeof(SCHEMA) + 4 + 7) / 8 * 8 - 4]; // with room for the text's zero, which C++ demands
};
__attribute__((section(".zoo_schema"), used, aligned(8))) const Frame schema = {sizeof(SCHEMA) - 1, SCHEMA};

const ZooHost *host;

ZooStr text(const char *literal) { return {reinterpret_cast<const uint8_t *>(literal), std::strlen(literal)}; }

void release(ZooOwned *owned) { delete[] owned->ptr; owned->ptr = nullptr; }

// No exception leaves a function of the table.
template <typename Body> int32_t guarded(ZooError *error, Body body) noexcept {
    int32_t status = ZOO_STATUS_ERROR;
    std::string message;
    try {
        body();
        return ZOO_STATUS_OK;
    } catch (const c10::Error &raised) {
        status = ZOO_STATUS_TORCH, message = raised.what_without_backtrace();
    } catch (const std::exception &raised) {
        message = raised.what();
    }
    auto *bytes = new uint8_t[message.size() + 1];
    std::memcpy(bytes, message.data(), message.size());
    error->message = {bytes, message.size(), message.size() + 1, release};
    return status;
}

int32_t create(ZooContext *, ZooStr parameters, ZooInstance **out, ZooError *error) {
    return guarded(error, [&] {
        const std::string json(reinterpret_cast<const char *>(parameters.ptr), parameters.len);
        const auto at = json.find("\"mask\":");
        *out = reinterpret_cast<ZooInstance *>(new int64_t(at == json.npos ? 103 : std::stoll(json.substr(at + 7))));
    });
}

ZooValue give(at::Tensor tensor) {
    return {ZOO_TAG_TENSOR, 0, {.tensor = new at::Tensor(std::move(tensor))}};
}

int32_t call(ZooInstance *instance, ZooContext *context, uint32_t method, const ZooValue *ins, size_t n_in,
             ZooValue *outs, size_t n_out, ZooError *error) {
    if (method != ZOO_METHOD_CALL || n_in != 1 || n_out != 4) return ZOO_STATUS_UNSUPPORTED;
    return guarded(error, [&] {
        const auto &ids = *static_cast<const at::Tensor *>(ins[0].payload.tensor);
        const double rate = host->current(context, text("rate"));
        auto hidden = at::zeros(ids.sizes(), at::kBool);
        auto places = hidden.accessor<bool, 2>();
        for (int64_t row = 0; row < ids.size(0); row++) {
            uint64_t state = host->random(context, text("hide"), static_cast<uint64_t>(row));
            for (int64_t t = 0; t < ids.size(1); t++) {
                uint64_t z = state += 0x9e3779b97f4a7c15ULL; // splitmix64: one stream a row
                z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL, z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
                places[row][t] = static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1.0p-53 < rate;
            }
        }
        outs[0] = give(ids.masked_fill(hidden, *reinterpret_cast<int64_t *>(instance)));
        outs[1] = give(hidden);
        outs[2] = give(hidden.flatten().nonzero().squeeze(1));
        outs[3] = give(ids.masked_select(hidden));
    });
}

void drop(ZooInstance *instance) { delete reinterpret_cast<int64_t *>(instance); }
} // namespace

extern "C" __attribute__((visibility("default"))) const ZooPlugin *zoo_plugin_v1_zoo_cpp(const ZooHost *given) {
    host = given;
    static const ZooComponent component = {sizeof(ZooComponent), 0, ZOO_FLAG_CONCURRENT, text("cpp.hide"), text(SCHEMA),
                                           create, call, nullptr, nullptr, drop};
    static const ZooComponent *const components[] = {&component};
    static const ZooPlugin plugin = {ZOO_MAGIC, sizeof(ZooPlugin), ZOO_MAJOR, 0, text("zoo-cpp"), text("1.0.0"),
                                     text(META), components, 1};
    return &plugin;
}
