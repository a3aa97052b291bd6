/* A plugin in C: an objective with a trained factor, over libtorch's stable C functions, which it
 * takes from the process. Built by: cc -shared -fPIC -I include -o libzoo_c.so zoo_c.c */
#include "zoo_plugin.h"
#include <stdlib.h>
#include <string.h>

#define TEXT(literal) ((ZooStr){(const uint8_t *)(literal), sizeof(literal) - 1})
#define META "{\"name\":\"zoo-c\",\"version\":\"1.0.0\",\"abi\":\"1.0\",\"entry\":\"zoo_plugin_v1_zoo_c\"," \
             "\"compiler\":\"cc\",\"target\":\"" ZOO_TARGET "\",\"panic\":\"unwind\"}"
#define SCHEMA "{\"name\":\"c.scaled_squares\",\"kind\":\"objective\"," \
    "\"summary\":\"Squared differences times a trained factor.\",\"params\":[{\"name\":\"start\",\"type\":\"real\"," \
    "\"default\":1.0,\"doc\":\"The factor at first.\"}],\"in\":[{\"name\":\"predicted\",\"type\":\"float[B, N]\"}," \
    "{\"name\":\"wanted\",\"type\":\"float[B, N]\"}],\"out\":[{\"name\":\"loss\",\"type\":\"float[]\"}]," \
    "\"count_inputs\":[\"wanted\"],\"effects\":{\"parameters\":true}," \
    "\"examples\":[\"objective fit = c.scaled_squares(start: 2.0)\"]}"

__attribute__((section(".zoo_meta"), used)) static const char meta[sizeof(META) - 1] = META;
__attribute__((section(".zoo_schema"), used, aligned(8))) static const struct {
    uint32_t length;
    char json[(sizeof(SCHEMA) - 1 + 4 + 7) / 8 * 8 - 4];
} schema = {sizeof(SCHEMA) - 1, SCHEMA};

/* libtorch's, found in the process: weak, so that a missing one is an error of ours. */
typedef void *Handle;
extern int32_t aoti_torch_new_tensor_handle(Handle, Handle *) __attribute__((weak));
extern int32_t aoti_torch_delete_tensor_object(Handle) __attribute__((weak));
extern int32_t aoti_torch_get_numel(Handle, int64_t *) __attribute__((weak));
extern int32_t aoti_torch_call_dispatcher(const char *, const char *, uint64_t *) __attribute__((weak));

static const ZooHost *host;

static void release(ZooOwned *owned) { free(owned->ptr); owned->ptr = NULL; }

static int32_t fail(ZooError *error, int32_t status, const char *message, const char *at) {
    ZooOwned *parts[2] = {&error->message, &error->at};
    const char *texts[2] = {message, at};
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(texts[i]);
        uint8_t *copy = malloc(length + 1);
        if (!copy) continue;
        memcpy(copy, texts[i], length);
        *parts[i] = (ZooOwned){copy, length, length + 1, release};
    }
    return status;
}

static int32_t create(ZooContext *context, ZooStr parameters, ZooInstance **out, ZooError *error) {
    static const int64_t shape[1] = {1};
    char json[256] = {0};
    memcpy(json, parameters.ptr, parameters.len < 255 ? parameters.len : 255);
    const char *start = strstr(json, "\"start\":");
    double value = start ? strtod(start + 8, NULL) : 1.0;
    if (!(value > 0)) return fail(error, ZOO_STATUS_ERROR, "the factor must be positive", "start");
    ZooTensor *factor = malloc(sizeof *factor);
    if (!factor) return fail(error, ZOO_STATUS_ERROR, "out of memory", "");
    ZooParamSpec spec = {sizeof spec, 6, shape, 1, {ZOO_INIT_CONSTANT, 0, value, 0}, true};
    int32_t status = host->param(context, TEXT("factor"), &spec, factor, error);
    if (status != ZOO_STATUS_OK) free(factor); else *out = (ZooInstance *)factor;
    return status;
}

static int32_t call(ZooInstance *instance, ZooContext *context, uint32_t method, const ZooValue *ins, size_t n_in,
                    ZooValue *outs, size_t n_out, ZooError *error) {
    (void)context;
    int64_t count = 0;
    uint64_t stack[3] = {0, 0, 2 /* sum */}, factor = 0;
    if (method == ZOO_METHOD_COUNT && n_in == 1 && n_out == 1) {
        if (aoti_torch_get_numel(ins[0].payload.tensor, &count)) return fail(error, ZOO_STATUS_TORCH, "no size", "in.wanted");
        outs[0] = (ZooValue){ZOO_TAG_REAL, 0, {.real = (double)count}};
        return ZOO_STATUS_OK;
    }
    if (method != ZOO_METHOD_CALL || n_in != 2 || n_out != 1) return fail(error, ZOO_STATUS_UNSUPPORTED, "only call and count", "");
    /* The dispatcher records gradients, and takes over the handles on its stack. */
    if (aoti_torch_new_tensor_handle(ins[0].payload.tensor, (Handle *)&stack[0]) ||
        aoti_torch_new_tensor_handle(ins[1].payload.tensor, (Handle *)&stack[1]) ||
        aoti_torch_call_dispatcher("aten::mse_loss", "", stack) ||
        aoti_torch_new_tensor_handle(*(ZooTensor *)instance, (Handle *)&factor))
        return fail(error, ZOO_STATUS_TORCH, "aten::mse_loss failed", "in.predicted");
    stack[1] = factor;
    if (aoti_torch_call_dispatcher("aten::mul", "Tensor", stack)) return fail(error, ZOO_STATUS_TORCH, "aten::mul failed", "");
    if (aoti_torch_call_dispatcher("aten::sum", "", (stack[1] = 0, stack))) return fail(error, ZOO_STATUS_TORCH, "aten::sum failed", "");
    outs[0] = (ZooValue){ZOO_TAG_TENSOR, 0, {.tensor = (Handle)stack[0]}};
    return ZOO_STATUS_OK;
}

static void drop(ZooInstance *instance) { aoti_torch_delete_tensor_object(*(ZooTensor *)instance); free(instance); }

__attribute__((visibility("default"))) const ZooPlugin *zoo_plugin_v1_zoo_c(const ZooHost *given) {
    static ZooComponent component;
    static const ZooComponent *const components[1] = {&component};
    static ZooPlugin plugin;
    if (!given || given->major != ZOO_MAJOR || !aoti_torch_call_dispatcher) return NULL;
    host = given;
    component = (ZooComponent){sizeof component, 0, ZOO_FLAG_CONCURRENT, TEXT("c.scaled_squares"), TEXT(SCHEMA), create, call, NULL, NULL, drop};
    plugin = (ZooPlugin){ZOO_MAGIC, sizeof plugin, ZOO_MAJOR, 0, TEXT("zoo-c"), TEXT("1.0.0"), TEXT(META), components, 1};
    return &plugin;
}
