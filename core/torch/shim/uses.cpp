// Where a graph of gradients uses parameters, and what flows into these places: from that the gradient of
// every single example follows without a pass for each.

#include "guarded.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/full_like.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/generated/Functions.h>
#include <torch/csrc/autograd/variable.h>

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace {

using namespace torch::autograd;
namespace generated = torch::autograd::generated;

// As `uses.rs` numbers them.
enum UseKind : size_t { product = 0, sum = 1, scaled = 2, lookup = 3 };
enum Chain : size_t { whole = 0, transposed = 1, part = 2 };

struct Use {
  size_t parameter;
  UseKind kind;
  Chain chain;
  // The operation whose output's gradient is needed.
  size_t operation;
  std::vector<int64_t> shape;
  at::Tensor other;
  // From the operation to the parameter.
  Edge below;
  std::shared_ptr<Node> leaf;
};

struct Uses {
  std::vector<Use> uses;
  std::vector<std::shared_ptr<Node>> operations;
  std::string unknown;
};

struct Found {
  size_t parameter;
  Chain chain;
  std::shared_ptr<Node> leaf;
};

// Operations that take elements of a tensor as they are, each at most once: what flows into them has the
// norm of what comes out.
bool selects(const std::string &name, Chain &chain) {
  if (name == "TBackward0" || name == "TransposeBackward0") {
    chain = chain == whole ? transposed : part;
    return true;
  }
  if (name == "ToCopyBackward0" || name == "AliasBackward0")
    return true;
  for (const char *known : {"SliceBackward0", "SelectBackward0", "ViewBackward0", "UnsqueezeBackward0",
                            "SqueezeBackward1", "ReshapeAliasBackward0", "PermuteBackward0", "UnsafeViewBackward0"})
    if (name == known) {
      chain = part;
      return true;
    }
  return false;
}

using Places = std::unordered_map<const c10::TensorImpl *, size_t>;

bool leads_to_parameter(const Edge &edge, const Places &places, Found &found) {
  found.chain = whole;
  auto node = edge.function;
  while (node) {
    const auto name = node->name();
    if (name == "torch::autograd::AccumulateGrad") {
      const auto &variable = static_cast<AccumulateGrad *>(node.get())->variable;
      const auto place = places.find(variable.unsafeGetTensorImpl());
      if (place == places.end())
        return false;
      found.parameter = place->second;
      found.leaf = node;
      return true;
    }
    if (!selects(name, found.chain) || node->num_outputs() != 1)
      return false;
    node = node->next_edge(0).function;
  }
  return false;
}

// What an operation makes of its input number `input`; false where that is not known.
bool recognise(const std::shared_ptr<Node> &node, size_t input, Use &use) {
  const auto name = node->name();
  if (name == "AddmmBackward0") {
    auto *own = static_cast<generated::AddmmBackward0 *>(node.get());
    if (own->alpha.toDouble() != 1.0 || own->beta.toDouble() != 1.0 || input == 1)
      return false;
    use.kind = input == 0 ? sum : product;
    if (input == 2)
      use.other = own->mat1_.unpack();
    return true;
  }
  if (name == "MmBackward0" && input == 1) {
    use.kind = product;
    use.other = static_cast<generated::MmBackward0 *>(node.get())->self_.unpack();
    return true;
  }
  if (name == "EmbeddingBackward0") {
    auto *own = static_cast<generated::EmbeddingBackward0 *>(node.get());
    if (own->scale_grad_by_freq || own->sparse || own->padding_idx.expect_int() >= 0)
      return false;
    use.kind = lookup;
    use.other = own->indices_.unpack();
    return true;
  }
  if (name == "NativeLayerNormBackward0" && input >= 1) {
    auto *own = static_cast<generated::NativeLayerNormBackward0 *>(node.get());
    use.kind = input == 1 ? scaled : sum;
    if (input == 1) {
      const auto mean = own->result1_.unpack(node), deviation = own->result2_.unpack(node);
      use.other = (own->input_.unpack().to(mean.scalar_type()) - mean) * deviation;
    }
    return true;
  }
  if (name == "AddBackward0") {
    auto *own = static_cast<generated::AddBackward0 *>(node.get());
    use.kind = sum;
    return input == 0 || own->alpha.toDouble() == 1.0;
  }
  if (name == "MulBackward0") {
    auto *own = static_cast<generated::MulBackward0 *>(node.get());
    use.kind = scaled;
    use.other = input == 0 ? own->other_.unpack() : own->self_.unpack();
    return true;
  }
  return false;
}

void collect(const at::Tensor &loss, const Places &places, Uses &uses) {
  std::vector<std::shared_ptr<Node>> open;
  std::unordered_set<const Node *> seen;
  if (loss.grad_fn())
    open.push_back(loss.grad_fn());
  while (!open.empty()) {
    const auto node = open.back();
    open.pop_back();
    if (!seen.insert(node.get()).second)
      continue;
    size_t operation = SIZE_MAX;
    for (size_t input = 0; input < node->num_outputs(); input++) {
      const auto &edge = node->next_edge(input);
      if (!edge.is_valid())
        continue;
      Found found;
      if (!leads_to_parameter(edge, places, found)) {
        open.push_back(edge.function);
        continue;
      }
      Use use;
      if (!recognise(node, input, use)) {
        uses.unknown = node->name();
        return;
      }
      if (operation == SIZE_MAX) {
        operation = uses.operations.size();
        uses.operations.push_back(node);
      }
      use.parameter = found.parameter;
      use.chain = found.chain;
      use.operation = operation;
      use.below = edge;
      use.leaf = found.leaf;
      if (found.chain == whole && edge.function == found.leaf)
        use.shape = static_cast<AccumulateGrad *>(found.leaf.get())->variable.sizes().vec();
      else {
        for (const auto &size : edge.function->input_metadata(edge.input_nr).shape_as_dim_vector())
          use.shape.push_back(size.expect_int());
      }
      uses.uses.push_back(std::move(use));
    }
  }
}

} // namespace

extern "C" {

int zoo_torch_uses(at::Tensor *loss, at::Tensor *const *parameters, size_t count, Uses **out) {
  return guarded([&] {
    Places places;
    for (size_t i = 0; i < count; i++)
      places.emplace(parameters[i]->unsafeGetTensorImpl(), i);
    auto uses = std::make_unique<Uses>();
    c10::NoGradGuard no_gradients;
    collect(*loss, places, *uses);
    *out = uses.release();
  });
}

void zoo_torch_uses_free(Uses *uses) { delete uses; }

const char *zoo_torch_uses_unknown(Uses *uses) { return uses->unknown.empty() ? nullptr : uses->unknown.c_str(); }

size_t zoo_torch_uses_count(Uses *uses) { return uses->uses.size(); }

int zoo_torch_uses_at(Uses *uses, size_t index, size_t out[5], const int64_t **shape, at::Tensor **other) {
  return guarded([&] {
    const auto &use = uses->uses.at(index);
    out[0] = use.parameter;
    out[1] = use.kind;
    out[2] = use.chain;
    out[3] = use.operation;
    out[4] = use.shape.size();
    *shape = use.shape.data();
    *other = use.other.defined() ? new at::Tensor(use.other) : nullptr;
  });
}

size_t zoo_torch_uses_operations(Uses *uses) { return uses->operations.size(); }

// One pass through the graph, which frees it: the gradients of the operations' outputs, and none of
// parameters.
int zoo_torch_uses_gradients(Uses *uses, at::Tensor *loss, double scale, at::Tensor **out) {
  return guarded([&] {
    edge_list outputs;
    for (const auto &operation : uses->operations)
      outputs.emplace_back(operation, 0);
    const edge_list roots{impl::gradient_edge(*loss)};
    const variable_list seeds{at::full_like(*loss, scale)};
    const auto found = Engine::get_default_engine().execute(roots, seeds, false, false, false, outputs);
    for (size_t i = 0; i < found.size(); i++)
      out[i] = new at::Tensor(found[i]);
  });
}

// The gradient of the parameter from that of what the operation saw of it.
int zoo_torch_uses_pull(Uses *uses, size_t index, at::Tensor *gradient, at::Tensor **out) {
  return guarded([&] {
    const auto &use = uses->uses.at(index);
    if (use.below.function == use.leaf) {
      *out = new at::Tensor(*gradient);
      return;
    }
    const auto found = Engine::get_default_engine().execute({use.below}, {*gradient}, true, false, false,
                                                            {Edge(use.leaf, 0)});
    *out = new at::Tensor(found.at(0));
  });
}

} // extern "C"
