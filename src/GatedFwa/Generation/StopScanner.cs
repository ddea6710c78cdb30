using System.Text;

namespace GatedFwa.Generation;

/// <summary>Lets text through until a stop string appears. What could be the beginning of one is held back until it is certain.</summary>
internal sealed class StopScanner(IReadOnlyList<string> stops)
{
    private readonly StringBuilder _held = new();

    /// <summary>Whether a stop string has appeared.</summary>
    public bool IsStopped { get; private set; }

    /// <summary>Takes the next piece of text.</summary>
    /// <returns>The text that is now certain to stand before any stop string; often empty.</returns>
    public string Push(string text)
    {
        if (IsStopped || text.Length == 0) return "";
        if (stops.Count == 0) return text;
        string all = _held.Append(text).ToString();
        _held.Clear();
        int stop = FirstStop(all);
        if (stop >= 0)
        {
            IsStopped = true;
            return all[..stop];
        }

        int certain = all.Length - LongestBeginningAtEnd(all);
        _held.Append(all, certain, all.Length - certain);
        return all[..certain];
    }

    /// <summary>The text has ended: what was held back was no stop string after all.</summary>
    public string Finish()
    {
        string rest = _held.ToString();
        _held.Clear();
        return rest;
    }

    /// <summary>Where the first stop string begins, or −1.</summary>
    private int FirstStop(string text)
    {
        int first = -1;
        foreach (string stop in stops)
        {
            int found = text.IndexOf(stop, StringComparison.Ordinal);
            if (found >= 0 && (first < 0 || found < first)) first = found;
        }

        return first;
    }

    private int LongestBeginningAtEnd(string text)
    {
        int longest = 0;
        foreach (string stop in stops)
        {
            for (int length = Math.Min(stop.Length - 1, text.Length); length > longest; length--)
            {
                if (text.EndsWith(stop[..length], StringComparison.Ordinal)) longest = length;
            }
        }

        return longest;
    }
}
