/* The C ABI between zoo and its plugins. Types only: no code, no dependencies.
 *
 * Rules that hold for every function below:
 * * it is `extern "C"`, never unwinds, and reports failure by a status and an `Error`;
 * * a pointer or `Str` that comes in is borrowed until the function returns;
 * * a `Tensor` that comes in is borrowed and read-only (except the ports that an optimizer's
 * schema lists as written); one that goes out is owned by the receiver;
 * * an `Owned` is freed by the receiver, through its own `free`;
 * * a struct only ever grows at its end, and says its `size`.
 *
 * It compiles with old compilers too (Rust 1.63).
 */

/* Made from core/abi/src/lib.rs by its tests; edit there. */

#ifndef ZOO_PLUGIN_H
#define ZOO_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ZooStr ZooStr;
typedef struct ZooOwned ZooOwned;
typedef struct ZooList ZooList;
typedef union ZooPayload ZooPayload;
typedef struct ZooValue ZooValue;
typedef struct ZooError ZooError;
typedef struct ZooInit ZooInit;
typedef struct ZooParamSpec ZooParamSpec;
typedef struct ZooHost ZooHost;
typedef struct ZooComponent ZooComponent;
typedef struct ZooPlugin ZooPlugin;

/* The first eight bytes of every `Plugin` table, read before anything else. */
#define ZOO_MAGIC 0x3147554c504f4f5aULL

/* Incompatible changes; part of the entry symbol's name. */
#define ZOO_MAJOR 1U

/* Additions at the end of a struct. */
#define ZOO_MINOR 0U

/* The entry symbol is this, followed by the plugin's name with `-` written as `_`. */
#define ZOO_ENTRY_PREFIX "zoo_plugin_v1_"

/* ELF section with the plugin's [build facts](Plugin::build_json), readable without loading. */
#define ZOO_META_SECTION ".zoo_meta"

/* ELF section with one frame a component: `u32` length in little-endian order, then that many
 * bytes of schema JSON, then zeros up to a multiple of eight. A frame of length zero is padding.
 */
#define ZOO_SCHEMA_SECTION ".zoo_schema"

/* What a function answers. */
/* Done. */
#define ZOO_STATUS_OK 0
/* A named failure; see the `Error`. */
#define ZOO_STATUS_ERROR 1
/* The plugin panicked; the instance must not be called again. */
#define ZOO_STATUS_PANIC 2
/* libtorch raised an exception. */
#define ZOO_STATUS_TORCH 3
/* Stopped because the run was asked to stop. */
#define ZOO_STATUS_CANCELLED 4
/* The other side is older and has no such function, or it makes no sense here. */
#define ZOO_STATUS_UNSUPPORTED 5

/* What a `Value` holds. */
/* Nothing: an absent optional input, or an output that nobody asked for. */
#define ZOO_TAG_NONE 0U
/* `payload.tensor`. */
#define ZOO_TAG_TENSOR 1U
/* `payload.int`. */
#define ZOO_TAG_INT 2U
/* `payload.real`. */
#define ZOO_TAG_REAL 3U
/* `payload.bytes`: one string or blob. */
#define ZOO_TAG_BYTES 4U
/* `payload.bytes`: a column of strings. `u64` count, then count + 1 `u64` offsets into the
 * UTF-8 bytes that follow, all little-endian.
 */
#define ZOO_TAG_TEXTS 5U
/* `payload.list`: values of one port that repeats. */
#define ZOO_TAG_LIST 6U
/* On entry in `outs`: the caller wants this output. */
#define ZOO_TAG_WANTED 7U

/* Which function of an instance `Component::call` runs. */
/* The component itself: inputs and outputs as its schema lists them. */
#define ZOO_METHOD_CALL 0U
/* Data: no inputs; one output, the number of examples (`INT`). */
#define ZOO_METHOD_LENGTH 1U
/* Data: one input, the indices (tensor `int[N]`); the outputs of the schema, N rows each. */
#define ZOO_METHOD_READ 2U
/* Objective: the inputs that its schema lists under `count_inputs`; one output, the number of
 * targets (`REAL`) by which the whole update's sum is divided.
 */
#define ZOO_METHOD_COUNT 3U
/* Metric: no inputs; one `REAL` output, the value over all calls since the last reset. */
#define ZOO_METHOD_FINISH 4U
/* Metric: no inputs, no outputs; forgets what was accumulated. */
#define ZOO_METHOD_RESET 5U
/* Tokenizer: no inputs; one `BYTES` output, the `tokenizer.json`. */
#define ZOO_METHOD_EXPORT 6U

/* `Component::flags`. */
/* `call` may run on several threads at once. */
#define ZOO_FLAG_CONCURRENT 1ULL

/* What `Host::mode` answers. */
/* Dropout and the like are active. */
#define ZOO_MODE_TRAINING 1ULL
/* Gradients are recorded. */
#define ZOO_MODE_GRADIENTS 2ULL
/* What belongs to an example must stay in a row of its own: the gradient of every one is looked at, or
 * memory is measured.
 */
#define ZOO_MODE_ROWS 4ULL

/* How a parameter starts: `Init::kind`. */
/* All zero. */
#define ZOO_INIT_ZEROS 0U
/* All one. */
#define ZOO_INIT_ONES 1U
/* All `a`. */
#define ZOO_INIT_CONSTANT 2U
/* Normal with mean `a` and standard deviation `b`. */
#define ZOO_INIT_NORMAL 3U
/* Normal with mean `a` and standard deviation `b`, redrawn outside two deviations. */
#define ZOO_INIT_TRUNCATED_NORMAL 4U
/* Uniform in `[a, b)`. */
#define ZOO_INIT_UNIFORM 5U

/* A borrowed UTF-8 string. */
struct ZooStr {
    /* First byte; may dangle when `len` is zero. */
    const uint8_t *ptr;
    /* Length in bytes. */
    size_t len;
};

/* Bytes that the receiver frees through `free`. */
struct ZooOwned {
    /* First byte; null when there is nothing. */
    uint8_t *ptr;
    /* Length in bytes. */
    size_t len;
    /* Capacity, for `free`. */
    size_t cap;
    /* Frees the bytes; absent when there is nothing to free. */
    void (*free)(ZooOwned *owned);
};

/* `at::Tensor*`: the same pointer that libtorch's stable C shim calls `AtenTensorHandle`. */
typedef void *ZooTensor;

/* Several values for one port. As an input borrowed; as an output the receiver takes the values
 * and frees the array through `free`.
 */
struct ZooList {
    /* First value. */
    ZooValue *ptr;
    /* How many. */
    size_t len;
    /* Frees the array and this struct, not the values; absent when borrowed. */
    void (*free)(ZooList *list);
};

/* The content of a `Value`; its tag says which field is meant. */
union ZooPayload {
    /* For `ZOO_TAG_TENSOR`. */
    ZooTensor tensor;
    /* For `ZOO_TAG_INT`. */
    int64_t integer;
    /* For `ZOO_TAG_REAL`. */
    double real;
    /* For `ZOO_TAG_BYTES` and `ZOO_TAG_TEXTS`. As an output the `Owned` itself is allocated by the
     * sender and freed together with its bytes by its `free`.
     */
    ZooOwned *bytes;
    /* For `ZOO_TAG_LIST`. */
    ZooList *list;
};

/* One input or output of a call. */
struct ZooValue {
    /* One of `tag`. */
    uint32_t tag;
    /* Zero. */
    uint32_t reserved;
    /* What the tag says. */
    ZooPayload payload;
};

/* Why a function failed. The host passes a zeroed one; the plugin fills in what it knows. */
struct ZooError {
    /* Free for the plugin's own numbering. */
    uint32_t code;
    /* Zero. */
    uint32_t reserved;
    /* One line: what is wrong. */
    ZooOwned message;
    /* What to do about it. */
    ZooOwned help;
    /* The parameter or port that is wrong (`layers`, `in.hidden`), for the caret in the recipe. */
    ZooOwned at;
};

/* How a parameter starts. */
struct ZooInit {
    /* One of `init`. */
    uint32_t kind;
    /* Zero. */
    uint32_t reserved;
    /* First number of the kind. */
    double a;
    /* Second number of the kind. */
    double b;
};

/* What a component asks of `Host::param`. */
struct ZooParamSpec {
    /* Size of this struct. */
    uint32_t size;
    /* libtorch's scalar type number. */
    int32_t dtype;
    /* Sizes. */
    const int64_t *shape;
    /* How many sizes. */
    size_t dims;
    /* Initial values. */
    ZooInit init;
    /* False for a buffer: saved, not trained. */
    bool trainable;
};

/* A component's state on the plugin's side. */
typedef struct ZooInstance ZooInstance;

/* The host's side of one create or call; valid until that function returns. */
typedef struct ZooContext ZooContext;

/* Writes what a stage produces into the file at `path`; `user` is passed through. */
typedef int32_t (*ZooProduce)(void *user, ZooStr path, ZooError *error);

/* What the host does for a plugin. Every slot is filled by a host of the same minor version. */
struct ZooHost {
    /* Size of this struct on the host's side. */
    uint32_t size;
    /* `MAJOR` of the host. */
    uint16_t major;
    /* `MINOR` of the host. */
    uint16_t minor;
    /* libtorch's version, `2.11.0`. */
    ZooStr libtorch;
    /* Whether a message of this level (1 error … 5 trace) would be kept. */
    bool (*log_enabled)(uint32_t level, ZooStr target);
    /* Keeps a message; the fields are one JSON object. */
    void (*log)(uint32_t level, ZooStr target, ZooStr message, ZooStr fields_json);
    /* During create: the tensor of a parameter, made and owned by the host. */
    int32_t (*param)(ZooContext *context, ZooStr name, const ZooParamSpec *paramspec, ZooTensor *out, ZooError *error);
    /* During create: the path on this machine of an asset, fetched and checked if need be. */
    int32_t (*asset)(ZooContext *context, ZooStr uri, ZooOwned *path, ZooError *error);
    /* During create: the path of a file that depends on nothing but this component's parameters
     * and references. `produce` is called only where no earlier run left it.
     */
    int32_t (*stage)(ZooContext *context, ZooStr name, ZooProduce produce, void *user, ZooOwned *path, ZooError *error);
    /* During call: what adapters on the site `name` make of `y`, computed from `x`. */
    int32_t (*site)(ZooContext *context, ZooStr name, ZooTensor x, ZooTensor y, ZooTensor *out, ZooError *error);
    /* A seed that depends on the run's seed, this instance, the stream's name, the step, and the
     * row's place in the whole update: never on how the update is split.
     */
    uint64_t (*random)(ZooContext *context, ZooStr stream, uint64_t row);
    /* The present value of a parameter that may vary in time; NaN when there is none of that name. */
    double (*current)(ZooContext *context, ZooStr name);
    /* Flags of `mode`. */
    uint64_t (*mode)(ZooContext *context);
    /* Records a number beside the step's own logs. */
    void (*metric)(ZooContext *context, ZooStr name, double value);
    /* Keeps a picture, table or text for the report. */
    void (*artifact)(ZooContext *context, ZooStr name, ZooStr media_type, ZooStr content);
    /* Whether the run was asked to stop; long work looks now and then. */
    bool (*cancelled)(ZooContext *context);
    /* Calls another component, which came as a reference among the parameters. */
    int32_t (*invoke)(ZooContext *context, uint64_t handle, uint32_t method, const ZooValue *ins, size_t n_in, ZooValue *outs, size_t n_out, ZooError *error);
    /* JSON of what a reference is: `{"name", "component", "parameters", "outputs"}`. */
    int32_t (*describe)(ZooContext *context, uint64_t handle, ZooOwned *out, ZooError *error);
};

/* One component of a plugin. */
struct ZooComponent {
    /* Size of this struct on the plugin's side. */
    uint32_t size;
    /* Zero. */
    uint32_t reserved;
    /* Flags of `flag`. */
    uint64_t flags;
    /* `namespace.name`, as recipes write it. */
    ZooStr name;
    /* The schema: the same bytes as in `SCHEMA_SECTION`. */
    ZooStr schema_json;
    /* Makes an instance. The JSON object holds every parameter of the schema in base units; a
     * reference to another component is its handle, an integer.
     */
    int32_t (*create)(ZooContext *context, ZooStr params_json, ZooInstance **out, ZooError *error);
    /* Runs a `method`. Inputs and outputs stand in schema order, absent ones as `ZOO_TAG_NONE`. */
    int32_t (*call)(ZooInstance *instance, ZooContext *context, uint32_t method, const ZooValue *ins, size_t n_in, ZooValue *outs, size_t n_out, ZooError *error);
    /* The state that is not a parameter, for a checkpoint. */
    int32_t (*save)(ZooInstance *instance, ZooOwned *out, ZooError *error);
    /* Takes back what `save` gave. */
    int32_t (*load)(ZooInstance *instance, ZooStr state, ZooError *error);
    /* Frees an instance. */
    void (*drop)(ZooInstance *instance);
};

/* What a plugin's entry function returns; lives as long as the process. */
struct ZooPlugin {
    /* `MAGIC`. */
    uint64_t magic;
    /* Size of this struct on the plugin's side. */
    uint32_t size;
    /* `MAJOR` the plugin was built for. */
    uint16_t major;
    /* The lowest `MINOR` it needs. */
    uint16_t minor;
    /* The plugin's name. */
    ZooStr name;
    /* The plugin's version, semver. */
    ZooStr version;
    /* Build facts: the same bytes as in `META_SECTION`. */
    ZooStr build_json;
    /* The components. */
    const ZooComponent *const *components;
    /* How many. */
    size_t len;
};

/* `zoo_plugin_v1_<name>` */
typedef const ZooPlugin *(*ZooEntry)(const ZooHost *host);

#ifdef __cplusplus
}
#endif

#endif
