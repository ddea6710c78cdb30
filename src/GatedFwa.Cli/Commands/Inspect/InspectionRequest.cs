using GatedFwa.Tensors;
using GatedFwa.Training.Data;

namespace GatedFwa.Cli.Commands.Inspect;

/// <summary>What is to be looked at.</summary>
/// <param name="Model">The folder of the model.</param>
/// <param name="Compared">The folders of models whose gradients are drawn beside.</param>
/// <param name="Text">The text.</param>
/// <param name="Length">The most bytes of it that are shown.</param>
/// <param name="Token">The token that is chosen at first, if one is named.</param>
/// <param name="Context">The most bytes before each prediction.</param>
/// <param name="Device">Where to compute.</param>
internal sealed record InspectionRequest(
    string Model, IReadOnlyList<string> Compared, Document Text, int Length, int? Token, int Context, Device Device)
{
    /// <summary>Bytes that are shown.</summary>
    public int Shown => Math.Min(Length, Text.Text.Length);

    /// <summary>The token that is chosen at first.</summary>
    public int Chosen => Token ?? Shown - 1;

    /// <exception cref="InputException">The text is too short, or the token is none that is shown.</exception>
    public void Validate()
    {
        if (Text.Text.Length < 2)
            throw new InputException($"The file \"{Text.Name}\" holds a single byte, too little to remember; give a longer text.");
        if (Chosen >= Shown)
        {
            string remedy = Shown < Text.Text.Length ? $", or show more with --length {Chosen + 1}" : "";
            throw new InputException(
                $"--token {Chosen}: the page shows the tokens 0 to {Shown - 1} of the text; name one of them{remedy}.");
        }
    }
}
