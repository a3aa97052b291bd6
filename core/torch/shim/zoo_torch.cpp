// What zoo needs of libtorch and tch lacks. Every function catches all exceptions, keeps the message
// in a thread-local, and returns 0 for success or a code of `Status`; no exception crosses into Rust.
//
// Only symbols of libtorch_cpu and libc10 are used: what concerns CUDA goes through libtorch's own
// registries (hooks, allocators), which libtorch_cuda fills when it is loaded. So one binary serves
// machines with and without it.

#include "guarded.h"

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_zero.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/headeronly/version.h>

#include <dlfcn.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace {

using Handle = at::Tensor *;

std::vector<at::Tensor> list(const Handle *tensors, size_t count) {
  std::vector<at::Tensor> out;
  out.reserve(count);
  for (size_t i = 0; i < count; i++)
    out.push_back(*tensors[i]);
  return out;
}

// The kinds of devices zoo knows, as Rust numbers them.
c10::DeviceType device_type(int kind) {
  TORCH_CHECK(kind == 0 || kind == 1, "no such kind of device: ", kind);
  return kind == 0 ? c10::DeviceType::CPU : c10::DeviceType::CUDA;
}

c10::Device device(int kind, int index) {
  return kind == 0 ? c10::Device(c10::DeviceType::CPU)
                   : c10::Device(device_type(kind), static_cast<c10::DeviceIndex>(index));
}

at::Generator generator(int kind, int index) {
  return at::globalContext().defaultGenerator(device(kind, index));
}

at::Tensor norm_of(const std::vector<at::Tensor> &tensors) {
  TORCH_CHECK(!tensors.empty(), "the norm of no tensors");
  auto norms = at::_foreach_norm(tensors, 2, at::kFloat);
  const auto place = norms.front().device();
  for (auto &norm : norms)
    norm = norm.to(place);
  return at::linalg_vector_norm(at::stack(norms), 2);
}

// Whether the elements of both lie at the same offsets.
bool alike(const at::Tensor &a, const at::Tensor &b) {
  if (a.sizes() != b.sizes())
    return false;
  for (int64_t i = 0; i < a.dim(); i++)
    if (a.size(i) > 1 && a.stride(i) != b.stride(i))
      return false;
  return true;
}

std::atomic<int64_t> tensor_bytes{0};
std::atomic<int64_t> tensor_bytes_peak{0};

#ifdef __GLIBC__
// libtorch's own allocator, with a count of what it gave and got back.
class CountingAllocator final : public c10::Allocator {
public:
  explicit CountingAllocator(c10::Allocator *inner) { own = inner; }

  c10::DataPtr allocate(size_t count) override {
    auto data = own->allocate(count);
    // A block that its owner would free in another way is not counted.
    if (data.compare_exchange_deleter(own->raw_deleter(), &drop)) {
      const auto size = static_cast<int64_t>(malloc_usable_size(data.get()));
      const auto now = tensor_bytes.fetch_add(size) + size;
      auto peak = tensor_bytes_peak.load();
      while (now > peak && !tensor_bytes_peak.compare_exchange_weak(peak, now)) {
      }
    }
    return data;
  }

  c10::DeleterFnPtr raw_deleter() const override { return &drop; }

  void copy_data(void *to, const void *from, std::size_t count) const override { default_copy_data(to, from, count); }

private:
  static void drop(void *data) {
    tensor_bytes.fetch_sub(static_cast<int64_t>(malloc_usable_size(data)));
    own->raw_deleter()(data);
  }

  // One of a process: deleters are plain functions.
  inline static c10::Allocator *own = nullptr;
};
#endif

} // namespace

extern "C" {

const char *zoo_torch_message() { return last_message.c_str(); }

const char *zoo_torch_headers_version() { return TORCH_VERSION; }

// --- optimizers ------------------------------------------------------------------------------

// One AdamW step over lists. `step` counts from 1. Without bias correction the step number handed to
// libtorch is so large that both corrections are exactly 1.
int zoo_torch_adamw(const Handle *parameters, const Handle *gradients, const Handle *first, const Handle *second,
                    size_t count, double learning_rate, double beta1, double beta2, double weight_decay,
                    double epsilon, double step) {
  return guarded([&] {
    at::NoGradGuard no_gradients;
    if (count == 0)
      return;
    const auto place = parameters[0]->device();
    const std::vector<at::Tensor> steps(count, at::full({}, step, at::TensorOptions().dtype(at::kFloat).device(place)));
    auto p = list(parameters, count), g = list(gradients, count), m = list(first, count), v = list(second, count);
    // The kernel walks the memory of all four side by side, so their elements must lie alike.
    for (size_t i = 0; i < count; i++) {
      TORCH_CHECK(p[i].is_non_overlapping_and_dense() && alike(m[i], p[i]) && alike(v[i], p[i]), "parameter ", i, " and its two means are not laid out alike in memory");
      TORCH_CHECK(g[i].sizes() == p[i].sizes(), "gradient ", i, " has shape ", g[i].sizes(), ", its parameter ",
                  p[i].sizes());
      if (!alike(g[i], p[i]))
        g[i] = at::empty_strided(p[i].sizes(), p[i].strides(), g[i].options()).copy_(g[i]);
    }
    at::_fused_adamw_(p, g, m, v, at::TensorList(), steps, learning_rate, beta1, beta2, weight_decay, epsilon,
                      /*amsgrad=*/false, /*maximize=*/false);
    // The fused kernel writes without counting it, so a backward pass through an old graph would go
    // unnoticed.
    for (const auto *written : {&p, &m, &v})
      for (const auto &tensor : *written)
        if (!tensor.is_inference())
          tensor.unsafeGetTensorImpl()->bump_version();
  });
}

// --- lists -----------------------------------------------------------------------------------

int zoo_torch_norm(const Handle *tensors, size_t count, Handle *out) {
  return guarded([&] {
    at::NoGradGuard no_gradients;
    *out = new at::Tensor(norm_of(list(tensors, count)));
  });
}

// Scales all so that their common norm is at most `limit`; gives the norm before.
int zoo_torch_clip_norm(const Handle *tensors, size_t count, double limit, Handle *out) {
  return guarded([&] {
    at::NoGradGuard no_gradients;
    auto all = list(tensors, count);
    auto norm = norm_of(all);
    auto factor = (limit / (norm + 1e-6)).clamp_max(1.0);
    at::_foreach_mul_(all, factor);
    *out = new at::Tensor(std::move(norm));
  });
}

int zoo_torch_scale(const Handle *tensors, size_t count, double factor) {
  return guarded([&] {
    at::NoGradGuard no_gradients;
    if (count)
      at::_foreach_mul_(list(tensors, count), factor);
  });
}

// self += factor * other
int zoo_torch_add(const Handle *tensors, const Handle *others, size_t count, double factor) {
  return guarded([&] {
    at::NoGradGuard no_gradients;
    if (count)
      at::_foreach_add_(list(tensors, count), list(others, count), factor);
  });
}

// self = self + weight * (other - self)
int zoo_torch_lerp(const Handle *tensors, const Handle *others, size_t count, double weight) {
  return guarded([&] {
    at::NoGradGuard no_gradients;
    if (count)
      at::_foreach_lerp_(list(tensors, count), list(others, count), weight);
  });
}

int zoo_torch_zero(const Handle *tensors, size_t count) {
  return guarded([&] {
    at::NoGradGuard no_gradients;
    if (count)
      at::_foreach_zero_(list(tensors, count));
  });
}

int zoo_torch_copy(const Handle *tensors, const Handle *sources, size_t count) {
  return guarded([&] {
    at::NoGradGuard no_gradients;
    if (count)
      at::_foreach_copy_(list(tensors, count), list(sources, count));
  });
}

// Multiplies all by `*inverse_scale` and sets `*found` (one element) to 1 where an infinity or NaN is.
int zoo_torch_unscale(const Handle *tensors, size_t count, Handle found, Handle inverse_scale) {
  return guarded([&] {
    at::NoGradGuard no_gradients;
    if (count)
      at::_amp_foreach_non_finite_check_and_unscale_(list(tensors, count), *found, *inverse_scale);
  });
}

// --- modes -----------------------------------------------------------------------------------

int zoo_torch_gradients_enabled(int *out) {
  return guarded([&] { *out = at::GradMode::is_enabled(); });
}

int zoo_torch_set_gradients_enabled(int on) {
  return guarded([&] { at::GradMode::set_enabled(on != 0); });
}

int zoo_torch_autocast(int kind, int *enabled, int *scalar_type, int *cached) {
  return guarded([&] {
    *enabled = at::autocast::is_autocast_enabled(device_type(kind));
    *scalar_type = static_cast<int>(at::autocast::get_autocast_dtype(device_type(kind)));
    *cached = at::autocast::is_autocast_cache_enabled();
  });
}

int zoo_torch_set_autocast(int kind, int enabled, int scalar_type, int cached) {
  return guarded([&] {
    at::autocast::set_autocast_dtype(device_type(kind), static_cast<at::ScalarType>(scalar_type));
    at::autocast::set_autocast_enabled(device_type(kind), enabled != 0);
    at::autocast::set_autocast_cache_enabled(cached != 0);
  });
}

// Opens (+1) or closes (-1) a region; the cache of casted weights dies with the outermost.
int zoo_torch_autocast_nesting(int change) {
  return guarded([&] {
    if (change > 0)
      at::autocast::increment_nesting();
    else if (at::autocast::decrement_nesting() == 0)
      at::autocast::clear_cache();
  });
}

int zoo_torch_deterministic(int *out) {
  return guarded([&] { *out = at::globalContext().deterministicAlgorithms(); });
}

int zoo_torch_set_deterministic(int on) {
  return guarded([&] {
    auto &context = at::globalContext();
    context.setDeterministicAlgorithms(on != 0, /*warn_only=*/false);
    context.setDeterministicCuDNN(on != 0);
    context.setDeterministicMkldnn(on != 0);
    // Filling fresh memory costs time and hides no difference: nothing of ours reads it unwritten.
    context.setDeterministicFillUninitializedMemory(false);
  });
}

int zoo_torch_set_matmul_precision(const char *name) {
  return guarded([&] { at::globalContext().setFloat32MatmulPrecision(name); });
}

int zoo_torch_threads(int *out) {
  return guarded([&] { *out = at::get_num_threads(); });
}

int zoo_torch_set_threads(int count) {
  return guarded([&] { at::set_num_threads(count); });
}

int zoo_torch_set_flush_denormal(int on, int *supported) {
  return guarded([&] { *supported = at::globalContext().setFlushDenormal(on != 0); });
}

// --- random streams --------------------------------------------------------------------------

int zoo_torch_seed(int kind, int index, uint64_t seed) {
  return guarded([&] {
    auto random = generator(kind, index);
    std::lock_guard<std::mutex> lock(random.mutex());
    random.set_current_seed(seed);
  });
}

int zoo_torch_generator_state(int kind, int index, Handle *out) {
  return guarded([&] {
    auto random = generator(kind, index);
    std::lock_guard<std::mutex> lock(random.mutex());
    *out = new at::Tensor(random.get_state());
  });
}

int zoo_torch_set_generator_state(int kind, int index, Handle state) {
  return guarded([&] {
    auto random = generator(kind, index);
    std::lock_guard<std::mutex> lock(random.mutex());
    random.set_state(*state);
  });
}

// --- tensors ---------------------------------------------------------------------------------

int zoo_torch_tensor_version(Handle tensor, int64_t *out) {
  return guarded([&] { *out = tensor->_version(); });
}

// Whether both are views of the same storage.
int zoo_torch_tensor_aliases(Handle a, Handle b, int *out) {
  return guarded([&] { *out = a->is_alias_of(*b); });
}

// A tensor over memory of the caller's; `drop(owner)` is called once: when the last view is gone, or
// when this function fails.
int zoo_torch_from_owner(void *data, const int64_t *shape, size_t rank, int scalar_type, void *owner,
                         void (*drop)(void *), Handle *out) {
  return guarded([&] {
    std::shared_ptr<void> keep(owner, drop);
    const at::IntArrayRef sizes(shape, rank);
    const auto options = at::TensorOptions().dtype(static_cast<at::ScalarType>(scalar_type));
    *out = new at::Tensor(at::from_blob(data, sizes, [keep](void *) {}, options));
  });
}

// --- accelerators ----------------------------------------------------------------------------

// Opens a library for the whole process and never closes it.
int zoo_torch_open(const char *path) {
  return guarded([&] {
    if (!dlopen(path, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE)) {
      const char *reason = dlerror();
      TORCH_CHECK(false, reason ? reason : "the library cannot be opened");
    }
  });
}

// The file that libtorch_cpu was loaded from; the caller copies it before the next call.
int zoo_torch_library(const char **out) {
  return guarded([&] {
    Dl_info found;
    TORCH_CHECK(dladdr(reinterpret_cast<void *>(&at::globalContext), &found) && found.dli_fname,
                "libtorch_cpu is not a file");
    last_message = found.dli_fname;
    *out = last_message.c_str();
  });
}

int zoo_torch_cuda_devices(int *linked, int *count) {
  return guarded([&] {
    *linked = at::globalContext().hasCUDA();
    *count = *linked ? at::detail::getCUDAHooks().deviceCount() : 0;
  });
}

int zoo_torch_synchronize(int kind, int index) {
  return guarded([&] {
    if (kind != 0)
      at::accelerator::synchronizeDevice(static_cast<c10::DeviceIndex>(index));
  });
}

// Bytes in use now and at most since the last reset, and bytes held from the device now and at most.
int zoo_torch_device_memory(int kind, int index, int64_t out[4]) {
  return guarded([&] {
    const auto stats = at::getDeviceAllocator(device_type(kind))->getDeviceStats(static_cast<c10::DeviceIndex>(index));
    const auto whole = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    out[0] = stats.allocated_bytes[whole].current;
    out[1] = stats.allocated_bytes[whole].peak;
    out[2] = stats.reserved_bytes[whole].current;
    out[3] = stats.reserved_bytes[whole].peak;
  });
}

int zoo_torch_reset_device_peak(int kind, int index) {
  return guarded([&] {
    at::getDeviceAllocator(device_type(kind))->resetPeakStats(static_cast<c10::DeviceIndex>(index));
  });
}

// What tensors on the CPU take, counted at the allocator as libtorch counts it on accelerators.
int zoo_torch_count_tensors(int *counted) {
  return guarded([&] {
#ifdef __GLIBC__
    static std::once_flag once;
    // Never destroyed: tensors may outlive every static object.
    std::call_once(once, [] { c10::SetCPUAllocator(new CountingAllocator(c10::GetCPUAllocator())); });
    *counted = 1;
#else
    *counted = 0;
#endif
  });
}

int zoo_torch_tensor_memory(int64_t out[2]) {
  return guarded([&] {
    out[0] = tensor_bytes.load();
    out[1] = tensor_bytes_peak.load();
  });
}

int zoo_torch_reset_tensor_peak() {
  return guarded([&] { tensor_bytes_peak.store(tensor_bytes.load()); });
}

int zoo_torch_empty_cache(int kind) {
  return guarded([&] {
    if (kind != 0)
      at::getDeviceAllocator(device_type(kind))->emptyCache();
  });
}

} // extern "C"
