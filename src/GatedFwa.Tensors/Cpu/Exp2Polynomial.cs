namespace GatedFwa.Tensors.Cpu;

/// <summary>Minimax polynomial of 2^f on [0, 1), degree 5 (Remez on the relative error: 7.5e-08).</summary>
internal static class Exp2Polynomial
{
    public const float C0 = 0.999999925f;
    public const float C1 = 0.693153073f;
    public const float C2 = 0.240153617f;
    public const float C3 = 0.055826317f;
    public const float C4 = 0.00898934131f;
    public const float C5 = 0.0018775762f;
}
