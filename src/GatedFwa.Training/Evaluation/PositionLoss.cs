using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Training.Data;

namespace GatedFwa.Training.Evaluation;

/// <summary>
/// How well a model predicts a byte, by how many tokens it has seen before it: whether a longer text helps it, and how far back.
/// Each context of the text stands for itself, whatever the model, so that models with and without a window are told alike.
/// </summary>
public sealed class PositionLoss
{
    private readonly double[] _nats;
    private readonly long[] _bytes;

    private PositionLoss(int context) => (_nats, _bytes) = (new double[context], new long[context]);

    /// <summary>Tokens of a context.</summary>
    public int Context => _nats.Length;

    /// <summary>Over all positions: every byte of the text once.</summary>
    public EvaluationResult Total => Between(0, Context);

    /// <summary>Predicts every byte of a text from those before it in its context.</summary>
    /// <param name="model">A byte model.</param>
    /// <param name="text">The text; its end makes a shorter context.</param>
    /// <param name="context">Tokens of a context.</param>
    /// <param name="atOnce">Contexts that pass through the model at once.</param>
    /// <exception cref="InputException">The text is empty, or the model is none of bytes.</exception>
    public static PositionLoss Measure(LanguageModel model, TokenStream text, int context, int atOnce = 1)
    {
        Evaluator.Check(model, text);
        var losses = new PositionLoss(context);
        int end = text.Length - 1;
        for (int start = 0; start < end;)
        {
            int rows = Math.Clamp((end - start) / context, 1, atOnce), length = Math.Min(context, end - start);
            losses.Add(model, text, start, rows, length);
            start += rows * length;
        }

        return losses;
    }

    /// <summary>Over some positions.</summary>
    /// <param name="first">The first, counted from 0.</param>
    /// <param name="end">The position after the last.</param>
    public EvaluationResult Between(int first, int end) => new(_nats[first..end].Sum(), _bytes[first..end].Sum());

    /// <summary>
    /// The positions in groups of equal size, as near as may be, in order; those that the text never reaches are left out.
    /// </summary>
    /// <param name="count">How many groups; fewer where there are fewer positions.</param>
    public IReadOnlyList<PositionBucket> Buckets(int count)
    {
        count = Math.Min(count, Context);
        return
        [
            .. from i in Enumerable.Range(0, count)
            let first = (int)((long)Context * i / count)
            let end = (int)((long)Context * (i + 1) / count)
            let result = Between(first, end)
            where result.Bytes > 0
            select new PositionBucket(first, end, result.Loss),
        ];
    }

    private void Add(LanguageModel model, TokenStream text, int start, int rows, int length)
    {
        (int[] tokens, int[] targets, int _) = Evaluator.Read(text, start, rows * length);
        Shape shape = [rows, length];
        using var tape = new Tape(recording: false);
        using Tensor perToken = Tensor.Empty(shape, DType.F32, model.Device);
        model.Loss(
            tape,
            tape.Own(Tensor.From(tokens, shape, model.Device)),
            tape.Own(Tensor.From(targets, shape, model.Device)),
            perToken: perToken);
        float[] nats = perToken.ToArray();
        for (int i = 0; i < nats.Length; i++)
        {
            if (targets[i] < 0) continue;
            _nats[i % length] += nats[i];
            _bytes[i % length]++;
        }
    }
}
