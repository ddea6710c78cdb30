using GatedFwa.Layers;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Training.Inspection;

/// <summary>What every layer of a model attended with on one text.</summary>
/// <param name="Layers">The layers, first to last.</param>
internal sealed record ModelTrace(IReadOnlyList<LayerTrace> Layers)
{
    /// <summary>Reads a text once, as one document, and keeps what the layers attend with.</summary>
    /// <param name="model">The model, on any device.</param>
    /// <param name="tokens">The text, T ≥ 1.</param>
    /// <exception cref="OperandException">A token is out of range.</exception>
    public static ModelTrace Of(LanguageModel model, ReadOnlySpan<int> tokens)
    {
        using var tape = new Tape(recording: false);
        var observer = new Observer(model.Config);
        model.Observe(tape, tape.Own(Tensor.From(tokens, [1, tokens.Length], model.Device)), observer);
        return new ModelTrace(observer.Layers);
    }

    private sealed class Observer(ModelConfig config) : IForwardObserver
    {
        public List<LayerTrace> Layers { get; } = [];

        public void Embedded(Tape tape, Tensor x)
        {
        }

        public void Attends(int layer, Tensor q, Tensor k, Tensor? alpha) =>
            Layers.Add(new LayerTrace(config, q.Shape[1], q.ToArray(), k.ToArray(), alpha?.ToArray()));
    }
}
