using GatedFwa.Models;

namespace GatedFwa.Training.Data;

/// <summary>What a model learns from, and what it is measured on: a text (<see cref="DocumentSplit"/>) or a task.</summary>
public interface ITrainingData
{
    /// <summary>Names the content: a run is resumed with what it began with.</summary>
    string Fingerprint();

    /// <summary>Refuses a model or options that cannot learn from this.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">How it is to be trained.</param>
    /// <exception cref="InputException">They do not fit; the message says what would.</exception>
    void Check(ModelConfig model, TrainerOptions options);

    /// <summary>The rows that steps are made of.</summary>
    /// <param name="options">How the model is trained.</param>
    /// <exception cref="InputException">There are none.</exception>
    IBatchSource Batches(TrainerOptions options);

    /// <summary>Measures a model on what it does not learn from.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">How it is trained.</param>
    ValidationResult Measure(LanguageModel model, TrainerOptions options);

    /// <summary>What counting alone achieves on the same; null where that says nothing.</summary>
    double? BaselineBitsPerByte();

    /// <summary>Whether there is nothing more to learn: training ends there.</summary>
    /// <param name="measurement">What the model has reached.</param>
    bool IsSolved(ValidationResult measurement);
}
