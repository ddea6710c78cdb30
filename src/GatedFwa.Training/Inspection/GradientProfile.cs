using GatedFwa.Layers;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Training.Inspection;

/// <summary>
/// How much a prediction still depends on tokens further and further back: the norm of the gradient of its loss with respect to
/// their embeddings.
/// </summary>
/// <param name="Predictions">Over how many predictions it is the mean.</param>
/// <param name="Norms">‖∂loss/∂x‖₂ in nats per unit of embedding; element 0 belongs to the last token that was read, the one just
/// before the token that is predicted.</param>
internal sealed record GradientProfile(int Predictions, double[] Norms)
{
    /// <summary>Predictions that are averaged, where the text is long enough.</summary>
    public const int DefaultPredictions = 16;

    /// <summary>The tokens before each prediction, unless given and where the text is long enough.</summary>
    public const int DefaultContext = 1024;

    /// <summary>Measures a model, one prediction after the other, so that memory does not grow with their number.</summary>
    /// <param name="model">The model, on any device; gradients are left in its parameters.</param>
    /// <param name="text">Tokens to predict, two or more.</param>
    /// <param name="context">Tokens before each prediction.</param>
    /// <param name="predictions">Predictions to average; they lie evenly in the text.</param>
    /// <param name="cancellation">Stops between predictions.</param>
    /// <exception cref="InputException">The text has less than two tokens, or the model gives no numbers.</exception>
    /// <exception cref="OperandException">A token is out of range.</exception>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    public static GradientProfile Measure(
        LanguageModel model,
        ReadOnlySpan<int> text,
        int context = DefaultContext,
        int predictions = DefaultPredictions,
        CancellationToken cancellation = default)
    {
        if (text.Length < 2)
            throw new InputException("A prediction needs a token before it and the text has less than two; give a longer text.");
        // A quarter of a short text is left to predict in: neighbours tell nearly the same.
        context = Math.Min(context, Math.Max(1, (text.Length - 1) * 3 / 4));
        int starts = text.Length - context;
        predictions = Math.Min(predictions, starts);
        var sum = new double[context];
        for (int i = 0; i < predictions; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            int start = predictions == 1 ? 0 : (int)((long)(starts - 1) * i / (predictions - 1));
            double[] norms = NormsOfOne(model, text.Slice(start, context), text[start + context]);
            for (int distance = 0; distance < context; distance++) sum[distance] += norms[context - 1 - distance];
        }

        if (sum.Any(norm => !double.IsFinite(norm)))
            throw new InputException("The model gave gradients that are not numbers; its weights are damaged, use another checkpoint.");
        return new GradientProfile(predictions, [.. sum.Select(norm => norm / predictions)]);
    }

    /// <summary>The norm for each token of one context, in order of the text.</summary>
    private static double[] NormsOfOne(LanguageModel model, ReadOnlySpan<int> context, int target)
    {
        int[] targets = [.. Enumerable.Repeat(-1, context.Length - 1), target];
        Shape shape = [1, context.Length];
        using var tape = new Tape();
        var observer = new Watcher();
        // Targets on the host: logits are then made for the one that counts alone.
        Tensor loss = model.ObservedLoss(
            tape, tape.Own(Tensor.From(context, shape, model.Device)), tape.Own(Tensor.From(targets, shape)), observer);
        tape.Backward(loss);
        return RowNorms(tape.Gradient(observer.Embedding!)!.ToArray(), context.Length);
    }

    private static double[] RowNorms(float[] values, int rows)
    {
        int width = values.Length / rows;
        return [.. values.Chunk(width).Select(row => Math.Sqrt(row.Sum(value => (double)value * value)))];
    }

    private sealed class Watcher : IForwardObserver
    {
        public Tensor? Embedding { get; private set; }

        public void Embedded(Tape tape, Tensor x) => Embedding = tape.Watch(x);

        public void Attends(int layer, Tensor q, Tensor k, Tensor? alpha)
        {
        }
    }
}
