namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>LAMBADA (Paperno et al. 2016): the last word of a passage that only the whole of it gives away.</summary>
internal static class Lambada
{
    public static Completion Task { get; } = new("lambada", "the last word of a passage", Read);

    /// <summary>All but the last word, then a space and the last word.</summary>
    public static Continuation Read(TaskLine line)
    {
        string text = line.Text("text");
        int space = text.LastIndexOf(' ');
        return space < 0 ? new Continuation("", " " + text) : new Continuation(text[..space], text[space..]);
    }
}
