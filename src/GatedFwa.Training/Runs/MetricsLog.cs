using System.Text.Json;
using GatedFwa.Checkpoints;

namespace GatedFwa.Training.Runs;

/// <summary>
/// <c>metrics.jsonl</c>: a line per step, appended as the step ends. Its length is part of every checkpoint; resuming cuts off what
/// came after, so that no line is lost or doubled.
/// </summary>
internal sealed class MetricsLog : IDisposable
{
    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    private readonly FileStream _file;
    private readonly List<MetricsLine> _lines = [];

    /// <summary>Opens the log of a run.</summary>
    /// <param name="path">The file; made where it is missing.</param>
    /// <param name="keepBytes">How much of it belongs to the checkpoint that the run goes on from.</param>
    /// <exception cref="InputException">It is shorter than that or cannot be written.</exception>
    public MetricsLog(string path, long keepBytes)
    {
        FileStream? file = null;
        try
        {
            _file = file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, bufferSize: 1);
            if (_file.Length < keepBytes)
            {
                throw new InputException(
                    $"The file \"{path}\" has lost lines that the checkpoint counts on; restore it, or start a new run in another folder.");
            }

            _file.SetLength(keepBytes);
            var text = new byte[_file.Length];
            _file.Position = 0;
            _file.ReadExactly(text);
            _lines.AddRange(Parse(text, path));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            file?.Dispose();
            throw AtomicFile.Unwritable(path, exception);
        }
        catch
        {
            file?.Dispose();
            throw;
        }
    }

    /// <summary>All lines so far.</summary>
    public IReadOnlyList<MetricsLine> Lines => _lines;

    /// <summary>Its length.</summary>
    public long Bytes => _file.Length;

    /// <summary>Appends a line; from then on it survives the end of this process.</summary>
    /// <exception cref="InputException">It cannot be written. Resuming cuts off what there is of the line.</exception>
    public void Append(MetricsLine line)
    {
        _lines.Add(line);
        byte[] text = [.. JsonSerializer.SerializeToUtf8Bytes(line, RunJson.Default.MetricsLine), (byte)'\n'];
        Guarded(() => _file.Write(text));
    }

    /// <summary>From here on the lines survive the end of the machine, too.</summary>
    /// <exception cref="InputException">They cannot be written.</exception>
    public void FlushToDisk() => Guarded(() => _file.Flush(flushToDisk: true));

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private void Guarded(Action write)
    {
        try
        {
            write();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw AtomicFile.Unwritable(_file.Name, exception);
        }
    }

    private static List<MetricsLine> Parse(byte[] text, string path)
    {
        List<MetricsLine> lines = [];
        foreach (Range range in text.AsSpan().Split((byte)'\n'))
        {
            if (text.AsSpan(range).IsEmpty) continue;
            try
            {
                lines.Add(JsonSerializer.Deserialize<MetricsLine>(text.AsSpan(range), Json) ?? throw new JsonException("A line is null."));
            }
            catch (JsonException exception)
            {
                throw new InputException(
                    $"Line {lines.Count + 1} of \"{path}\" is damaged; restore the file, or start a new run in another folder.",
                    exception);
            }
        }

        return lines;
    }
}
