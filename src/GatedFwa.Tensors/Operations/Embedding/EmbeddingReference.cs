namespace GatedFwa.Tensors.Operations;

/// <summary>Rows of a table in double: the contract that <see cref="Embedding"/> is held to.</summary>
internal static class EmbeddingReference
{
    public static double[] Forward(int[] tokens, double[] table, int width) =>
        [.. tokens.SelectMany(token => table.Skip(token * width).Take(width))];

    public static double[] Backward(int[] tokens, double[] dy, int vocabulary, int width)
    {
        var dtable = new double[vocabulary * width];
        for (int row = 0; row < tokens.Length; row++)
        {
            for (int c = 0; c < width; c++) dtable[(tokens[row] * width) + c] += dy[(row * width) + c];
        }

        return dtable;
    }
}
