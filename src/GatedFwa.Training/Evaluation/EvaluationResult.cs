namespace GatedFwa.Training.Evaluation;

/// <summary>How well a model predicts a text.</summary>
/// <param name="Nats">−Σ ln p over the bytes of the text; boundaries between documents are not counted.</param>
/// <param name="Bytes">The bytes of the text.</param>
public readonly record struct EvaluationResult(double Nats, long Bytes)
{
    /// <summary>Nats a byte: what training minimises.</summary>
    public double Loss => Nats / Bytes;

    /// <summary>Bits a byte: how far the model would compress the text, out of 8.</summary>
    public double BitsPerByte => Loss / Math.Log(2);

    /// <summary>e to the loss: among how many equally likely bytes the model is undecided.</summary>
    public double Perplexity => Math.Exp(Loss);
}
