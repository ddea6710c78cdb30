namespace GatedFwa.Generation;

/// <summary>Tokens by falling weight, the lower id first among equals. Filling costs O(V), each of the likeliest O(log V): sorting a
/// vocabulary of 50,000 for every token would cost more than a small model's step.</summary>
internal sealed class TokenHeap
{
    private int[] _tokens = [];
    private double[] _weights = [];

    /// <summary>Tokens not yet taken.</summary>
    public int Count { get; private set; }

    /// <summary>Starts anew with token i of weight <paramref name="weights"/>[i].</summary>
    public void Fill(ReadOnlySpan<double> weights)
    {
        if (_tokens.Length < weights.Length) (_tokens, _weights) = (new int[weights.Length], new double[weights.Length]);
        weights.CopyTo(_weights);
        Count = weights.Length;
        for (int i = 0; i < Count; i++) _tokens[i] = i;
        for (int i = (Count / 2) - 1; i >= 0; i--) Sink(i);
    }

    /// <summary>Takes the heaviest token.</summary>
    public int Pop()
    {
        int top = _tokens[0];
        _tokens[0] = _tokens[--Count];
        Sink(0);
        return top;
    }

    private void Sink(int i)
    {
        while ((2 * i) + 1 < Count)
        {
            int child = (2 * i) + 1;
            if (child + 1 < Count && IsBefore(_tokens[child + 1], _tokens[child])) child++;
            if (!IsBefore(_tokens[child], _tokens[i])) return;
            (_tokens[i], _tokens[child]) = (_tokens[child], _tokens[i]);
            i = child;
        }
    }

    private bool IsBefore(int a, int b) => _weights[a] > _weights[b] || (_weights[a] == _weights[b] && a < b);
}
