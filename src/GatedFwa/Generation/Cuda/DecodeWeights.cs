using GatedFwa.Models;
using GatedFwa.Tensors;

namespace GatedFwa.Generation;

/// <summary>A model's parameters as a <see cref="DecodeStep"/> reads them.</summary>
internal sealed class DecodeWeights
{
    public DecodeWeights(LanguageModel model)
    {
        ModelConfig config = model.Config;
        var parameters = new ParameterSet(model.Parameters);
        Type = model.Activations;
        Embedding = parameters["embedding.weight"];
        Norm = parameters["norm.weight"];
        Head = config.TiedEmbedding ? Embedding : parameters["head.weight"];
        Layers = [.. Enumerable.Range(0, config.Layers).Select(layer => new DecodeLayer(config, parameters.In($"layers.{layer}")))];
    }

    /// <summary>The type in which matrices are read.</summary>
    public DType Type { get; }

    /// <summary>F32 [V, C].</summary>
    public Parameter Embedding { get; }

    /// <summary>The last norm, [C].</summary>
    public Parameter Norm { get; }

    /// <summary>[V, C]: the embedding, where it is tied.</summary>
    public Parameter Head { get; }

    public DecodeLayer[] Layers { get; }
}
